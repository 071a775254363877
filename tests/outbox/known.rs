//! What came before is known when it comes again, whatever happened in between:
//! daemons give every attempt an id of its own, and hear nothing of kills.

use serde_json::json;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::Daemon;
use crate::transport::Peer;

/// Two of each kind that can be recognised: with a key, and by what identifies
/// a message. Their bytes differ from one attempt to the next.
fn messages(attempt: u32) -> Vec<String> {
    let effect = |n: u32, event: &str, payload| {
        json!({
            "route": "test", "session_id": "s", "channel": "session:s:conversation",
            "event": event, "payload": payload, "idempotency_key": format!("key {n}"),
        })
    };
    let keyed = (0..2).map(|n| effect(n, "e", json!({"n": n, "attempt": attempt})));
    let identified = (2..4).map(|n| {
        let payload = json!({"message_id": format!("m{n}"), "sequence_number": n, "at": attempt});
        let mut effect = effect(n, "conversation.message.v1", payload);
        effect
            .as_object_mut()
            .expect("it is")
            .remove("idempotency_key");
        effect
    });
    keyed.chain(identified).map(|e| e.to_string()).collect()
}

/// An attempt at all of them, each with an id that nobody has seen.
fn attempt(daemon: &mut Daemon, attempt: u32) {
    for (n, effect) in (100 * attempt..).zip(messages(attempt)) {
        daemon.publish(n, &effect);
    }
}

fn publish_all(chain: &Chain, count: usize) -> Peer {
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(count).len(), count);
    eventually("all is published", || chain.outbox()["depth"] == 0);
    peer
}

#[test]
fn a_message_is_published_once_though_it_comes_under_another_id_after_every_restart() {
    let chain = Chain::up(OUTBOX);
    attempt(&mut chain.daemon(), 1);
    chain.kill();
    chain.start();
    attempt(&mut chain.daemon(), 2);
    assert_eq!(chain.outbox()["depth"], 4, "it is kept already");
    let (code, out) = chain.run(&["restart", "falco"]);
    assert_eq!(code, 0, "{out}");
    attempt(&mut chain.daemon(), 3);
    assert_eq!(chain.outbox()["depth"], 4, "it is kept already");

    let peer = publish_all(&chain, 4);
    attempt(&mut chain.daemon(), 4);
    assert_eq!(chain.outbox()["depth"], 0, "it is published already");
    chain.stop();
    drop(peer);
    chain.start();
    attempt(&mut chain.daemon(), 5);
    assert_eq!(
        chain.outbox()["depth"],
        0,
        "it was published in another life"
    );
}

#[test]
fn an_id_means_one_thing_also_after_a_restart() {
    let chain = Chain::up(OUTBOX);
    let effect = |payload: &str| {
        format!(
            r#"{{"type":"t","route":"test","session_id":"s","channel":"s","payload":"{payload}"}}"#
        )
    };
    let tell = |what: &str| {
        let mut daemon = chain.daemon();
        daemon.send(1, &effect("another"));
        daemon.expect_failed(1, "rejected: id_conflict");
        daemon.publish(1, &effect("one"));
        assert_eq!(chain.outbox()["dead"], 0, "{what}");
    };
    chain.daemon().publish(1, &effect("one"));
    tell("in its life");
    chain.kill();
    chain.start();
    tell("kept in another life");
    drop(publish_all(&chain, 1));
    tell("published in this life");
    chain.stop();
    chain.start();
    tell("published in another life");
    assert_eq!(chain.outbox()["depth"], 0);
}
