//! Ably goes away, comes back, and wants new tokens.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::Minting;
use crate::client::publish;
use crate::rig::{PATIENCE, Rig, Setup};

#[test]
fn requests_are_taken_and_answered_before_ably_can_be_reached() {
    let mut rig = Rig::start_with(Setup {
        reachable: false,
        ..Setup::default()
    });
    let mut client = rig.client();
    let mut request = publish("c", "1", b"x");
    request["timeout_ms"] = json!(300);
    client.send(&request);
    let answer = client.answer();
    assert_eq!(
        (&answer["ok"], &answer["retryable"]),
        (&json!(false), &json!(true)),
        "{answer}"
    );
    request["request_id"] = json!("2");
    request["timeout_ms"] = json!(60_000);
    client.send(&request);
    rig.restart_emulator();
    let answer = client.answer();
    assert_eq!(
        (&answer["request_id"], &answer["ok"]),
        (&json!("2"), &json!(true)),
        "{answer}"
    );
}

#[test]
fn every_request_is_answered_once_while_the_server_is_killed_and_restarted() {
    let mut rig = Rig::start();
    rig.await_state("connected");
    let mut client = rig.client();
    let mut ids = HashSet::new();
    for round in 0..3 {
        for n in 0..500 {
            let id = format!("{round}-{n}");
            let mut request = publish("c", &id, b"x");
            request["timeout_ms"] = json!(60_000);
            client.send(&request);
            ids.insert(id);
        }
        rig.kill_emulator();
        thread::sleep(Duration::from_millis(50));
        rig.restart_emulator();
    }
    while !ids.is_empty() {
        let answer = client.answer();
        assert_eq!(answer["ok"], true, "{answer}");
        let id = answer["request_id"].as_str().expect("an id");
        assert!(ids.remove(id), "{id} was answered twice");
    }
    assert!(client.is_silent(Duration::from_millis(100)));
}

#[test]
fn a_subscription_survives_a_restart_and_says_that_messages_may_be_missing() {
    let mut rig = Rig::start();
    let mut client = rig.client();
    client.subscribe("c");
    client.send(&publish("c", "before", b"x"));
    assert_eq!(client.message()["message_id"], "before");
    client.answer();
    rig.kill_emulator();
    rig.restart_emulator();
    let deadline = Instant::now() + PATIENCE;
    let mut n = 0;
    let message = loop {
        n += 1;
        client.send(&publish("c", &format!("after-{n}"), b"x"));
        client.answer();
        if !client.is_silent(Duration::from_millis(200)) {
            break client.message();
        }
        assert!(
            Instant::now() < deadline,
            "the subscription never came back"
        );
    };
    assert_eq!(message["continuity_lost"], true, "{message}");
}

#[test]
fn tokens_that_live_for_seconds_cost_no_publish() {
    let rig = Rig::start_with(Setup {
        minting: Minting {
            capability: r#"{"*":["*"]}"#.to_owned(),
            lifetime_secs: 8,
        },
        ..Setup::default()
    });
    let mut client = rig.client();
    client.subscribe("c");
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(15) || rig.broker.fetches() < 3 {
        assert!(began.elapsed() < PATIENCE, "the token is never renewed");
        let id = format!("m{n}");
        client.send(&publish("c", &id, b"x"));
        let answer = client.answer();
        assert_eq!(answer["ok"], true, "{answer}");
        let message = client.message();
        assert_eq!(message["message_id"], id);
        assert!(message.get("continuity_lost").is_none());
        n += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let fetches = rig.broker.fetches();
    let took = began.elapsed();
    assert!(fetches <= 40, "{fetches} tokens in {took:?}");
}

#[test]
fn a_lost_capability_ends_in_a_refusal_and_a_regained_one_heals() {
    let rig = Rig::start_with(Setup {
        minting: Minting {
            capability: r#"{"other":["publish"]}"#.to_owned(),
            lifetime_secs: 4,
        },
        ..Setup::default()
    });
    let mut client = rig.client();
    client.send(&publish("c", "1", b"x"));
    assert_eq!(client.answer()["code"], 40_160);
    rig.broker.minting.lock().expect("not poisoned").capability = r#"{"*":["*"]}"#.to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        client.send(&publish("c", "2", b"x"));
        if client.answer()["ok"] == true {
            break;
        }
        assert!(Instant::now() < deadline, "the new token was never used");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_server_that_acknowledges_later_than_anybody_waits_publishes_once_and_says_so() {
    let rig = Rig::start_with(Setup {
        env: vec![("DAEMON_ABLY_FORMAT", "json".to_owned())],
        acks_take: Some(Duration::from_millis(700)),
        ..Setup::default()
    });
    rig.await_state("connected");
    let mut client = rig.client();
    client.subscribe("c");
    for n in 0..3 {
        let mut request = publish("c", &n.to_string(), b"x");
        request["timeout_ms"] = json!(500);
        let mut refusals = 0;
        loop {
            let answer = client.ask(request.clone());
            if answer["ok"] == true {
                break;
            }
            assert_eq!(answer["code"], 50_003, "{answer}");
            refusals += 1;
            assert!(refusals < 20, "every attempt is like the first");
        }
        assert!(0 < refusals, "it was in time");
        assert_eq!(client.message()["message_id"], n.to_string());
    }
    assert!(client.is_silent(Duration::from_millis(100)));
}
