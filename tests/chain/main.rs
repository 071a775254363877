//! The whole chain, as `falco up` brings it up: what a daemon writes to
//! `falco.sock` is what the server has, in order and once, also when parts of
//! the chain are killed underneath.

#[allow(dead_code, reason = "written for all that tests/ingest does")]
#[path = "../ingest/daemon.rs"]
mod daemon;
mod falco;
mod server;

use std::time::Duration;

use crate::daemon::{Daemon, frame, id};
use crate::falco::Chain;

const SESSIONS: u32 = 40;

/// Effect `n`: number `n` of the session it falls to.
fn effect(n: u32) -> Vec<u8> {
    let session = n % SESSIONS;
    let json = format!(
        r#"{{"type":"t","channel":"session:{session}:conversation","payload": {{"n" :{n}}} }}"#
    );
    frame(id(n), json.as_bytes())
}

/// What the channel of `session` holds after effects `0..n`.
fn expected(session: u32, n: u32) -> Vec<String> {
    let numbers = (0..n).filter(|n| n % SESSIONS == session);
    numbers.map(|n| format!("{{\"n\" :{n}}}")).collect()
}

/// Writes effects, a few at a time so that a kill finds some on their way.
fn write_slowly(daemon: &mut Daemon, n: u32) {
    for first in (0..n).step_by(100) {
        let some = (first..n.min(first + 100)).flat_map(effect);
        daemon.write(&some.collect::<Vec<u8>>());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn expect_all_published(chain: &Chain, n: u32) {
    for session in 0..SESSIONS {
        let channel = format!("session:{session}:conversation");
        assert_eq!(chain.history(&channel), expected(session, n), "{channel}");
    }
}

#[test]
fn what_a_daemon_sends_arrives_byte_for_byte_in_order_and_once() {
    let chain = Chain::up();
    let mut daemon = chain.daemon();
    let mut acks = daemon.other_half();
    let reader = std::thread::spawn(move || (0..4000).map(|_| acks.read()).collect::<Vec<_>>());
    daemon.write(&(0..4000).flat_map(effect).collect::<Vec<u8>>());
    let acks = reader.join().expect("acks");
    assert!(
        acks.iter().all(|ack| ack.ok),
        "{:?}",
        acks.iter().find(|ack| !ack.ok)
    );
    expect_all_published(&chain, 4000);
}

#[test]
fn a_transport_killed_again_and_again_loses_repeats_and_reorders_nothing() {
    let chain = Chain::up();
    let mut daemon = chain.daemon();
    let mut acks = daemon.other_half();
    let reader = std::thread::spawn(move || (0..6000).map(|_| acks.read()).collect::<Vec<_>>());
    let writer = std::thread::spawn(move || write_slowly(&mut daemon, 6000));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(120));
        chain.kill("transport");
    }
    writer.join().expect("writes");
    let acks = reader.join().expect("acks");
    assert!(
        acks.iter().all(|ack| ack.ok),
        "{:?}",
        acks.iter().find(|ack| !ack.ok)
    );
    expect_all_published(&chain, 6000);
}

#[test]
fn a_stopped_chain_leaves_no_socket_and_answers_what_it_took() {
    let chain = Chain::up();
    let mut daemon = chain.daemon();
    daemon.write(&effect(0));
    daemon.expect_success(0);
    chain.run(&["stop"]);
    daemon.expect_end();
    for socket in ["falco.sock", "ably.sock", "ably-auth.sock"] {
        assert!(!chain.base().join(socket).exists(), "{socket} is gone");
    }
}

#[test]
fn emit_and_tail_meet_through_the_whole_chain() {
    let chain = Chain::up();
    let mut tail = chain.tail("session:demo:conversation");
    let payload = "{ \"text\":\"\u{e9} \\u00e9\" }";
    let channel = ["--channel", "session:demo:conversation"];
    let emitted = chain.run(
        &[
            &["emit", "--event", "hello", "--payload", payload][..],
            &channel,
        ]
        .concat(),
    );
    assert!(emitted.starts_with("SUCCESS "), "{emitted}");
    let line = tail.next_line();
    assert!(line.ends_with(payload), "{line}");
    assert!(line.contains("hello"), "{line}");
}

#[test]
fn a_channel_is_tailed_whatever_its_name_is_made_of() {
    let chain = Chain::up();
    let names = ["a\"b", "a\\b", "a\tb", "x\",\"event\":\"zzz", "\u{202e}x"];
    for name in names {
        let mut tail = chain.tail(name);
        let emit = ["emit", "--event", "e", "--payload", "1", "--channel", name];
        let emitted = chain.run(&emit);
        assert!(emitted.starts_with("SUCCESS "), "{emitted}");
        let line = tail.next_line();
        assert_eq!(line, format!("{} e 1", name.escape_debug()));
    }
}

#[test]
fn a_tail_whose_transport_was_away_says_of_every_channel_that_messages_may_be_missing() {
    let chain = Chain::up();
    let mut tail = chain.tail_all(&["a", "b", "--json"]);
    chain.kill("transport");
    tail.wait_until_subscribed(2);
    for expected in [true, false] {
        for channel in ["a", "b"] {
            chain.run(&["emit", "--channel", channel, "--event", "e"]);
            let line: serde_json::Value = serde_json::from_str(&tail.next_line()).expect("JSON");
            assert_eq!(line["channel"], channel);
            assert_eq!(line["continuity_lost"], expected, "{line}");
        }
    }
}

#[test]
fn effects_that_cannot_be_routed_are_counted_and_named_in_status() {
    let chain = Chain::up();
    let mut daemon = chain.daemon();
    daemon.write(&frame(id(1), b"{}"));
    assert!(!daemon.read().ok);
    chain.wait_for_status("the refusal is counted", |status| {
        let effects = &status["ingest"];
        let error = effects["last_error"].as_str().unwrap_or_default();
        effects["failed"] == 1 && effects["accepted"] == 1 && error.contains("missing event name")
    });
}
