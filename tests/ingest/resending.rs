//! Effects that come again: joined, known, in conflict, or expected first.

use std::time::{Duration, Instant};

use crate::daemon::{Daemon, frame, id};
use crate::falco::Falco;
use crate::transport::Peer;

fn message(number: u32, nonce: u32) -> String {
    format!(
        r#"{{"event":"conversation.message.v1","session_id":"s","channel":"session:s:conversation",
            "payload":{{"message_id":"m{number}","sequence_number":{number},"nonce":{nonce}}}}}"#
    )
}

#[test]
fn an_effect_on_its_way_is_joined_and_each_connection_has_its_own_ack() {
    let falco = Falco::start();
    let (mut first, mut second) = (falco.daemon(), falco.daemon());
    let mut peer = falco.transport().accept_ours();
    first.send(1, &message(1, 1));
    let request = peer.read();
    second.send(1, &message(1, 1));
    second.send(2, &message(1, 2));
    assert!(peer.read_soon().is_none(), "one publish for all of them");
    peer.accept(&request);
    first.expect_success(1);
    second.expect_success(1);
    second.expect_success(2);
    first.expect_silence();
}

#[test]
fn what_was_published_is_acked_at_once_by_id_and_by_identity() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &message(1, 1));
    peer.accept_messages(1);
    daemon.expect_success(1);
    drop(daemon);

    let mut daemon = falco.daemon();
    daemon.send(1, &message(1, 1));
    daemon.expect_success(1);
    daemon.send(2, &message(1, 2));
    daemon.expect_success(2);
    assert!(peer.read_soon().is_none());
}

#[test]
fn what_is_accepted_after_its_daemon_was_told_that_it_failed_is_published_no_second_time() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &message(1, 1));
    let request = peer.read();
    daemon.expect_failed(1, "ambiguous", "no answer");
    while peer.read_soon().is_some() {}
    peer.accept(&request);
    daemon.send(2, r#"{"channel":"another","event":"e"}"#);
    peer.accept_messages(1);
    daemon.expect_success(2);

    daemon.send(1, &message(1, 1));
    daemon.expect_success(1);
    daemon.send(3, &message(1, 2));
    daemon.expect_success(3);
    assert!(peer.read_soon().is_none());
}

#[test]
fn an_id_used_for_something_else_is_refused() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &message(1, 1));
    let request = peer.read();
    daemon.send(1, &message(2, 1));
    daemon.expect_failed(1, "rejected", "id_conflict");
    peer.accept(&request);
    daemon.expect_success(1);
}

#[test]
fn a_cursor_cannot_jump_over_a_message_that_failed() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    daemon.send(1, &message(1, 1));
    daemon.expect_failed(1, "throttled", "transport not available");
    let mut peer = falco.transport().accept_ours();
    daemon.send(2, &message(2, 1));
    daemon.expect_failed(2, "gap", "expected 1");
    for (attempt, number) in [(3, 1), (4, 2)] {
        daemon.send(attempt, &message(number, 2));
        let published = peer.accept_messages(1).remove(0);
        let expected = format!("\"sequence_number\":{number},");
        assert!(String::from_utf8(published).unwrap().contains(&expected));
        let ack = daemon.read();
        assert_eq!((ack.id, ack.ok), (id(attempt), true), "{ack:?}");
    }
}

/// All that a lane holds, of a session that is never answered.
fn everything() -> Vec<u8> {
    let json = |n| format!(r#"{{"type":"t","session_id":"still","channel":"c","payload":{n}}}"#);
    let all = (0..4096).map(|n| frame(id(n), json(n).as_bytes()));
    all.collect::<Vec<_>>().concat()
}

/// Has an effect of another session published.
fn publish_live(daemon: &mut Daemon, peer: &mut Peer, n: u32) {
    let json = r#"{"type":"t","session_id":"live","channel":"c","payload":"live"}"#;
    daemon.send(n, json);
    loop {
        let request = peer.read();
        if request.payloads() == [br#""live""#] {
            peer.accept(&request);
            return daemon.expect_success(n);
        }
    }
}

#[test]
fn a_daemon_that_comes_back_again_and_again_leaves_nothing_behind_and_delays_nobody() {
    let falco = Falco::start();
    let everything = everything();
    let mut peer = falco.transport().accept_ours();
    let (mut first, mut other) = (falco.daemon(), falco.daemon());
    first.write(&everything);
    let begun = Instant::now();
    for n in 5000.. {
        publish_live(&mut other, &mut peer, n);
        if Duration::from_millis(1500) < begun.elapsed() {
            break;
        }
    }
    drop(first);
    let mut memory = 0;
    for round in 0..40 {
        let mut daemon = falco.daemon();
        daemon.write(&everything);
        // It has read all of that, since this comes behind it.
        publish_live(&mut daemon, &mut peer, 2_000_000 + round);
        publish_live(&mut other, &mut peer, 3_000_000 + round);
        if round == 5 {
            memory = falco.memory_kib();
        }
    }
    let grown = falco.memory_kib().saturating_sub(memory);
    assert!(grown < 8 * 1024, "{grown} KiB");
}

#[test]
fn who_left_while_it_was_not_read_makes_room_for_others() {
    let falco = Falco::start();
    let everything = everything();
    let mut peer = falco.transport().accept_ours();
    // As many as may wait for the outcome of others, and more.
    for _ in 0..18 {
        falco.daemon().write(&everything);
    }
    publish_live(&mut falco.daemon(), &mut peer, 1_000_000);
}
