//! Dead letters, and what an operator does about them.

use serde_json::json;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, uuid};
use crate::transport::{Peer, keys, payloads};

/// A chain with one dead letter and one effect published behind it.
fn with_dead_letter() -> (Chain, Daemon, Peer) {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    daemon.publish(1, &effect("test", "s", 1));
    let refused = peer.read();
    peer.refuse(&refused, 40_160, false);
    daemon.publish(2, &effect("test", "s", 2));
    assert_eq!(peer.accept_messages(1), ["2"]);
    eventually("only the dead letter is kept", || {
        let outbox = chain.outbox();
        outbox["dead"] == 1 && outbox["depth"] == 0
    });
    (chain, daemon, peer)
}

#[test]
fn what_ably_refuses_for_good_is_a_dead_letter_that_says_why_and_its_lane_goes_on() {
    let (chain, ..) = with_dead_letter();
    let listed = chain.json(&["outbox", "list", "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], uuid(1));
    assert_eq!(listed[0]["lane"], "s");
    let dead = &listed[0]["dead"];
    assert_eq!(dead["class"], "rejected");
    assert_eq!(
        (&dead["code"], &dead["attempts"]),
        (&json!(40_160), &json!(1))
    );
    assert!(listed[0].get("payload").is_none(), "only show says it");
    let shown = chain.json(&["outbox", "show", &uuid(1), "--json"]);
    assert_eq!(shown[0]["payload"], "1");
    assert_eq!(shown[0]["route"], "test");
    let (code, text) = chain.run(&["outbox", "list"]);
    assert!(
        code == 0 && text.contains("dead after 1 attempts: rejected"),
        "{text}"
    );
}

#[test]
fn a_requeued_letter_is_published_as_it_was() {
    let (chain, _daemon, mut peer) = with_dead_letter();
    let (code, text) = chain.run(&["outbox", "requeue", &uuid(1)]);
    assert_eq!((code, text.as_str()), (0, "1 to be published again\n"));
    let request = peer.read();
    assert_eq!(
        (payloads(&request), keys(&request)),
        (vec!["1".into()], vec![uuid(1)])
    );
    peer.accept(&request);
    eventually("nothing is kept", || chain.outbox()["dead"] == 0);
    let (code, text) = chain.run(&["outbox", "requeue", &uuid(1)]);
    assert!(code == 1 && text.contains("it is no dead letter"), "{text}");
}

#[test]
fn all_dead_letters_are_requeued_together_and_one_that_is_dropped_is_gone() {
    let (chain, mut daemon, mut peer) = with_dead_letter();
    daemon.publish(3, &effect("test", "s", 3));
    let refused = peer.read();
    peer.refuse(&refused, 40_160, false);
    eventually("two are dead", || chain.outbox()["dead"] == 2);
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 0);
    assert_eq!(peer.accept_messages(2), ["1", "3"]);

    daemon.publish(4, &effect("other", "s", 4));
    assert_eq!(chain.run(&["outbox", "drop", &uuid(4)]).0, 0);
    assert_eq!(chain.outbox()["depth"], 0);
    assert_eq!(chain.run(&["outbox", "drop", &uuid(4)]).0, 1);
}

#[test]
fn an_effect_that_ably_keeps_refusing_for_now_can_be_dropped_to_free_its_lane() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    daemon.publish(1, &effect("test", "s", 1));
    let refused = peer.read();
    peer.refuse(&refused, 50_000, true);
    daemon.publish(2, &effect("test", "s", 2));
    assert_eq!(chain.run(&["outbox", "drop", &uuid(1)]).0, 0);
    let next = loop {
        let request = peer.read();
        if payloads(&request) == ["2"] {
            break request;
        }
        peer.refuse(&request, 50_000, true);
        chain.run(&["outbox", "drop", &uuid(1)]);
    };
    peer.accept(&next);
}

#[test]
fn a_payload_of_a_megabyte_is_shown_by_falco_and_from_disk() {
    let chain = Chain::up(OUTBOX);
    let text = "\\\"x".repeat(300_000);
    let json = format!(
        r#"{{"type":"t","route":"test","session_id":"s","channel":"s","payload":"{text}"}}"#
    );
    chain.daemon().publish(1, &json);
    let shown = || chain.json(&["outbox", "show", &uuid(1), "--json"]);
    let payload = format!("\"{text}\"");
    assert!(shown()[0]["payload"] == payload.as_str());
    chain.stop();
    assert!(shown()[0]["payload"] == payload.as_str());
}

#[test]
fn an_outbox_that_no_falco_has_open_is_as_configured() {
    let chain = Chain::up(OUTBOX);
    chain.daemon().publish(1, &effect("test", "s", 1));
    chain.stop();
    let bytes_max = || chain.json(&["outbox", "stats", "--json"])[0]["bytes_max"].clone();
    assert_eq!(bytes_max(), 1_u64 << 30);
    chain.configure("[outbox]\nmax_bytes = \"64MiB\"\n");
    assert_eq!(bytes_max(), 64_u64 << 20);
    chain.configure("[outbox]\nmax_bytes = \"none\"\n");
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 78);
}
