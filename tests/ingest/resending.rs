//! Effects that come again: joined, known, in conflict, or expected first.

use crate::daemon::id;
use crate::falco::Falco;

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
    let falco = Falco::start();
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
