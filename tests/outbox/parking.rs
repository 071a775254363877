//! Sessions that wait for what Ably refused for good.

use serde_json::{Value, json};

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, uuid};
use crate::inbox::{drop_file, inbox};
use crate::transport::{Peer, Transport, keys, payloads};

const PARKS: &str = "[delivery]\non_rejected = \"park\"\n";

fn outbox() -> String {
    OUTBOX.replace("[delivery]\n", PARKS)
}

fn parked(chain: &Chain) -> Vec<Value> {
    chain.json(&["lane", "list", "--json"])
}

/// The lane `s`, whose first effect was refused; its daemon, and the transport.
fn told(chain: &Chain) -> (Daemon, Peer) {
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    (1..=3).for_each(|n| daemon.send(n, &effect("test", "s", n)));
    refuse(&mut peer, "1");
    daemon.expect_failed(1, "rejected: ");
    let waits = format!("parked: waits for {}", uuid(1));
    (2..=3).for_each(|n| daemon.expect_failed(n, &waits));
    (daemon, peer)
}

/// Refuses the effect with this payload for good, alone or in a batch, and
/// nothing else before it.
fn refuse(peer: &mut Peer, payload: &str) {
    loop {
        let request = peer.read();
        let sent = payloads(&request);
        assert_eq!(sent[0], payload);
        peer.refuse(&request, 40_160, false);
        if sent.len() == 1 {
            return;
        }
    }
}

/// A chain whose outbox keeps 1 as a dead letter and 2 and 3 behind it.
fn kept() -> (Chain, Daemon, Transport, Peer) {
    let chain = Chain::up(&outbox());
    let mut daemon = chain.daemon();
    (1..=3).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    let mut transport = chain.transport("test");
    let mut peer = transport.accept();
    refuse(&mut peer, "1");
    eventually("its lane is parked", || parked(&chain).len() == 1);
    (chain, daemon, transport, peer)
}

fn expect_kept(chain: &Chain, waiting: u64) {
    let listed = parked(chain).remove(0);
    assert_eq!(
        (&listed["lane"], &listed["route"]),
        (&json!("s"), &json!("test"))
    );
    assert_eq!(listed["effect_id"], uuid(1));
    assert_eq!(
        (&listed["waiting"], &listed["kept"]),
        (&json!(waiting), &json!(true))
    );
    let error = listed["error"].as_str().expect("an error");
    assert!(error.starts_with("rejected: "), "{error}");
}

#[test]
fn without_an_outbox_a_session_waits_until_what_was_refused_comes_again() {
    let chain = Chain::up(PARKS);
    let (mut daemon, mut peer) = told(&chain);
    daemon.send(4, &effect("test", "s", 4));
    daemon.send(5, &effect("test", "t", 5));
    daemon.expect_failed(4, "parked: waits for");
    assert_eq!(peer.accept_messages(1), ["5"], "another session goes on");
    daemon.expect_success(5);

    let listed = parked(&chain);
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["lane"], &listed[0]["kept"]),
        (&json!("s"), &json!(false))
    );
    let (code, text) = chain.run(&["status"]);
    let told = "1 lane is parked: falco lane list --base-dir /";
    assert!(text.contains(told), "{text}");
    assert_eq!(code, 0, "one session is not the chain: {text}");
    assert_eq!(chain.status()["ingest"]["failures"]["parked"], 3);
    let (_, metrics) = chain.run(&["metrics"]);
    assert!(metrics.contains("\nfalco_lanes_parked 1\n"), "{metrics}");

    for n in 1..=3 {
        daemon.send(n, &effect("test", "s", n));
    }
    assert_eq!(peer.accept_messages(3), ["1", "2", "3"]);
    (1..=3).for_each(|n| daemon.expect_success(n));
    assert_eq!(parked(&chain), [Value::Null; 0]);
    eventually("both are told", || {
        let (_, events) = chain.run(&["events"]);
        events.contains(&format!(
            "lane s of route test is parked: it waits for {}",
            uuid(1)
        )) && events.contains("lane s of route test goes on: it came again")
    });
}

#[test]
fn an_operator_lets_a_session_go_on_without_what_its_daemon_has() {
    for verb in ["resume", "discard"] {
        let chain = Chain::up(PARKS);
        let (mut daemon, mut peer) = told(&chain);
        let (code, text) = chain.run(&["lane", verb, "s"]);
        assert!(code == 1 && text.contains("s: it is not parked"), "{text}");
        let (code, text) = chain.run(&["lane", verb, "s", "--route", "test"]);
        assert_eq!((code, text.as_str()), (0, "1 lane goes on\n"));
        daemon.send(2, &effect("test", "s", 2));
        assert_eq!(peer.accept_messages(1), ["2"]);
        daemon.expect_success(2);
        let (code, text) = chain.run(&["lane", verb, "s", "--route", "nowhere"]);
        assert!(code == 1 && text.contains("there is no route"), "{text}");
        chain.stop();
        let (code, _) = chain.run(&["lane", "list"]);
        assert_eq!(code, 3, "nothing runs");
    }
}

#[test]
fn what_is_kept_behind_a_dead_letter_waits_over_restarts_and_goes_out_behind_it() {
    let (chain, mut daemon, mut transport, _peer) = kept();
    expect_kept(&chain, 2);
    daemon.send(4, &effect("test", "s", 4));
    daemon.expect_failed(4, &format!("parked: waits for {}", uuid(1)));
    daemon.publish(1, &effect("test", "s", 1));
    assert_eq!(chain.run(&["outbox", "compact"]).0, 0);
    chain.kill();
    // Not even another configuration lets anything overtake.
    chain.configure(OUTBOX);
    chain.start();
    expect_kept(&chain, 2);
    let (_, text) = chain.run(&["outbox", "list", "--dead"]);
    assert!(
        text.contains("and its lane waits for it: rejected: "),
        "{text}"
    );
    let mut daemon = chain.daemon();
    daemon.send(5, &effect("test", "s", 5));
    daemon.expect_failed(5, "parked: waits for");
    daemon.publish(6, &effect("test", "t", 6));
    let mut peer = transport.accept();
    assert_eq!(peer.accept_messages(1), ["6"], "another session goes on");

    assert_eq!(chain.run(&["outbox", "requeue", &uuid(1)]).0, 0);
    let mut all = Vec::new();
    while all.len() < 3 {
        let request = peer.read();
        all.extend(keys(&request));
        peer.accept(&request);
    }
    assert_eq!(all, [uuid(1), uuid(2), uuid(3)]);
    daemon.send(5, &effect("test", "s", 5));
    assert_eq!(peer.accept_messages(1), ["5"]);
    daemon.expect_success(5);
    eventually("it is told", || {
        let (_, events) = chain.run(&["events"]);
        events.contains("goes on: its dead letter was requeued")
    });
}

#[test]
fn a_session_that_is_resumed_leaves_its_dead_letter_aside_for_ever() {
    let (chain, _daemon, mut transport, mut peer) = kept();
    let (code, text) = chain.run(&["lane", "resume", "--all", "--json"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "{\"changed\":1,\"refused\":[]}\n")
    );
    assert_eq!(peer.accept_messages(2), ["2", "3"]);
    eventually("they are settled", || chain.outbox()["depth"] == 0);
    chain.kill();
    chain.start();
    assert_eq!(parked(&chain), [Value::Null; 0]);
    assert_eq!(chain.outbox()["dead"], 1);
    let mut daemon = chain.daemon();
    daemon.publish(4, &effect("test", "s", 4));
    let mut peer = transport.accept();
    // What was published a moment before the kill may come once more.
    while peer
        .accept_messages(1)
        .last()
        .is_none_or(|last| last != "4")
    {}
    assert_eq!(chain.run(&["outbox", "requeue", &uuid(1)]).0, 0);
    assert_eq!(peer.accept_messages(1), ["1"]);
}

#[test]
fn a_session_goes_on_when_the_dead_letter_it_waits_for_is_dropped() {
    for verb in [
        ["lane", "discard", "s", "--route", "test"],
        ["outbox", "drop", &uuid(1), "--base-dir", ""],
    ] {
        let (chain, _daemon, _transport, mut peer) = kept();
        let verb: Vec<&str> = verb
            .into_iter()
            .take_while(|w| *w != "--base-dir")
            .collect();
        assert_eq!(chain.run(&verb).0, 0);
        assert_eq!(peer.accept_messages(2), ["2", "3"]);
        assert_eq!(chain.outbox()["dead"], 0);
        assert_eq!(parked(&chain), [Value::Null; 0]);
    }
}

#[test]
fn while_nothing_runs_the_outbox_opens_a_lane_too() {
    let (chain, _daemon, mut transport, _peer) = kept();
    chain.stop();
    assert_eq!(chain.run(&["outbox", "drop", &uuid(1)]).0, 0);
    chain.start();
    let mut peer = transport.accept();
    assert_eq!(peer.accept_messages(2), ["2", "3"]);
}

#[test]
fn lines_of_the_inbox_wait_behind_a_dead_letter_and_hold_up_no_other_session() {
    let (chain, _daemon, _transport, mut peer) = kept();
    eventually("there is an inbox", || {
        inbox(&chain).join("rejected").is_dir()
    });
    let lines = effect("test", "s", 4) + "\n" + &effect("test", "t", 5) + "\n";
    drop_file(&chain, "a.jsonl", lines);
    assert_eq!(peer.accept_messages(1), ["5"]);
    eventually("it is taken", || parked(&chain)[0]["waiting"] == 3);
    assert_eq!(chain.run(&["lane", "resume", "--all"]).0, 0);
    assert_eq!(peer.accept_messages(3), ["2", "3", "4"]);
}
