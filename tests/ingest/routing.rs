//! What goes where, and what is refused.

use crate::falco::Falco;

#[test]
fn a_publish_carries_the_payload_byte_for_byte_and_is_acked_once_accepted() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    daemon.send(1, r#"{"type":"t","payload": { "a" : [1,	2.0e1] } , "x":1}"#);
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    let request = peer.read();
    assert_eq!(request.text("op"), "publish.v1");
    assert_eq!(request.text("channel"), "device-events:dev-1");
    assert_eq!(request.text("event"), "t");
    assert_eq!(request.payload(), "{ \"a\" : [1,\t2.0e1] }");
    assert_eq!(request.0["timeout_ms"], 60_000);
    let key = "01000000-eeee-eeee-eeee-eeeeeeeeeeee";
    assert_eq!(request.text("message_id"), key);
    assert_eq!(request.text("idempotency_key"), key);
    daemon.expect_silence();
    peer.accept(&request);
    daemon.expect_success(1);
}

#[test]
fn without_payload_the_whole_json_goes_out_and_a_null_payload_is_null() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    let whole = " {\"Event\":\"e\",\n \"CHANNEL\":\"c\"} ";
    daemon.send(1, whole);
    let request = peer.read();
    assert_eq!(request.payload(), whole);
    assert_eq!((request.text("channel"), request.text("event")), ("c", "e"));
    peer.accept(&request);
    daemon.expect_success(1);
    daemon.send(2, r#"{"type":"t","payload":null}"#);
    assert_eq!(peer.read().payload(), "null");
}

#[test]
fn an_object_key_makes_an_object_set() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, r#"{"object_key":"k","channel":"c","payload":{"a": 1}}"#);
    let request = peer.read();
    assert_eq!(request.text("op"), "object.set.v1");
    assert_eq!((request.text("channel"), request.text("key")), ("c", "k"));
    assert_eq!(request.text("value_b64"), "eyJhIjogMX0=");
    peer.refuse(&request, "object value must be valid JSON: x");
    daemon.expect_failed(
        1,
        "rejected",
        "object set rejected: object value must be valid JSON: x",
    );
}

#[test]
fn what_cannot_be_routed_is_refused_with_the_texts_that_logs_match() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let cases = [
        ("{}", "missing event name in side-effect payload"),
        (
            r#"{"object_key":"k","payload":1}"#,
            "missing channel for object-set side-effect",
        ),
        (
            r#"{"object_key":"k","channel":"c"}"#,
            "missing payload for object-set side-effect",
        ),
        (r#"{"type":1}"#, "unreadable side-effect JSON"),
        (r#"{"type":"t"} {}"#, "unreadable side-effect JSON"),
        ("", "unreadable side-effect JSON"),
    ];
    for (n, (json, text)) in (0..).zip(cases) {
        daemon.send(n, json);
        daemon.expect_failed(n, "rejected", text);
    }
}

#[test]
fn an_effect_too_large_for_the_transport_is_refused_and_the_next_is_not() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let large = format!(r#"{{"type":"t","payload":"{}"}}"#, "x".repeat(2_000_000));
    daemon.send(1, &large);
    daemon.expect_failed(1, "too_large", "does not fit");
    daemon.send(2, "{}");
    daemon.expect_failed(2, "rejected", "missing event");
}
