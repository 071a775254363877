//! Acked once it is kept, published once it can be.

use serde_json::json;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::transport::{keys, numbers, payloads};

#[test]
fn what_is_acked_while_there_is_no_transport_is_published_in_order_once_there_is() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    for n in 0..100 {
        daemon.send(n, &effect("test", "s", n));
    }
    (0..100).for_each(|n| daemon.expect_success(n));
    assert_eq!(chain.outbox()["depth"], 100);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(100), numbers(100));
    eventually("nothing is kept", || chain.outbox()["depth"] == 0);
    assert_eq!(chain.outbox()["published"], 100);
}

#[test]
fn an_effect_keeps_its_key_and_bytes_on_its_way_over_the_disk() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let json = r#"{"type":"t","route":"test","channel":"c","payload": { "a" : [1,	2.0e1] }}"#;
    daemon.publish(7, json);
    let request = chain.transport("test").accept().read();
    assert_eq!(payloads(&request), ["{ \"a\" : [1,\t2.0e1] }"]);
    assert_eq!(keys(&request), [uuid(7)]);
    assert_eq!(request["channel"], "c");
}

#[test]
fn what_is_sent_again_is_acked_again_and_published_once() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    for _ in 0..3 {
        daemon.publish(1, &effect("test", "s", 1));
    }
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(1), ["1"]);
    daemon.publish(1, &effect("test", "s", 1));
    daemon.publish(2, &effect("test", "s", 2));
    assert_eq!(peer.accept_messages(1), ["2"]);
    daemon.send(1, &effect("test", "s", 3));
    daemon.expect_failed(1, "id_conflict");
}

#[test]
fn a_lane_that_pauses_delays_no_other() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    daemon.publish(0, &effect("test", "poor", 0));
    let mut peer = chain.transport("test").accept();
    let poor = peer.read();
    for n in 1..200 {
        daemon.publish(n, &effect("test", "poor", n));
    }
    peer.refuse(&poor, 50_000, true);
    daemon.publish(500, &effect("test", "rich", 500));
    loop {
        let request = peer.read();
        if payloads(&request) == ["500"] {
            break peer.accept(&request);
        }
        peer.refuse(&request, 50_000, true);
    }
    eventually("only the poor lane is kept", || {
        let outbox = chain.outbox();
        (&outbox["depth"], &outbox["lanes"]) == (&json!(200), &json!(1))
    });
}

#[test]
fn an_outbox_without_payloads_is_a_mistake_and_direct_mode_has_none() {
    let without = "[outbox]\npayload = \"none\"\n";
    let chain = Chain::new(&format!("[delivery]\nmode = \"outbox\"\n{without}"));
    for verb in [&["config", "check"][..], &["up"]] {
        let (code, text) = chain.run(verb);
        let told = text.contains("outbox.payload") && text.contains("publishes from what it keeps");
        assert!(code == 78 && told, "{code} {text}");
    }
    chain.configure(without);
    chain.start();
    let mut daemon = chain.daemon();
    let secret = r#"{"type":"t","route":"test","channel":"c","payload":"not on disk"}"#;
    daemon.send(1, secret);
    let mut peer = chain.transport("test").accept();
    let request = peer.read();
    assert!(!chain.base().join("outbox").exists());
    let noted = std::fs::read_dir(chain.base().join("run")).expect("a directory");
    for file in noted {
        let bytes = std::fs::read(file.expect("a file").path()).expect("reads");
        assert!(!String::from_utf8_lossy(&bytes).contains("not on disk"));
    }
    peer.accept(&request);
    daemon.expect_success(1);
}
