use super::*;

const READER: Reader = Reader {
    format: Format::Msgpack,
    default_timeout: Duration::from_secs(5),
};

fn rejection(line: &str) -> (&'static str, String, String) {
    let rejection = READER.read(line.as_bytes()).expect_err(line);
    (rejection.op, rejection.request_id, rejection.error)
}

#[test]
fn what_is_missing_is_named_in_the_predecessors_order() {
    let order: &[(&str, &str)] = &[
        (r#"{"op":"publish.v1"}"#, "request_id is required"),
        (
            r#"{"op":"publish.v1","request_id":"r"}"#,
            "channel is required",
        ),
        (
            r#"{"op":"publish.v1","request_id":"r","channel":"c","payload_b64":"!"}"#,
            "event is required",
        ),
        (
            r#"{"op":"publish.v1","request_id":"r","channel":"c","event":"e","payload_b64":"!"}"#,
            "payload_b64 must be valid base64",
        ),
        (
            r#"{"op":"object.set.v1","request_id":"r","channel":"c"}"#,
            "key is required",
        ),
        (
            r#"{"op":"object.set.v1","request_id":"r","channel":"c","key":"k","value_b64":"!"}"#,
            "value_b64 must be valid base64",
        ),
        (
            r#"{"op":"subscribe.v1","request_id":"r"}"#,
            "channel is required",
        ),
        (
            r#"{"op":"subscribe.v1","request_id":"r","channel":"c"}"#,
            "subscription_id is required",
        ),
        (
            r#"{"op":"publish.batch.v1","request_id":"r","channel":"c"}"#,
            "messages is required",
        ),
        (
            r#"{"op":"publish.batch.v1","request_id":"r","channel":"c","messages":[{"event":"e"},{}]}"#,
            "event is required",
        ),
    ];
    for (line, text) in order {
        assert_eq!(rejection(line).2, *text, "{line}");
    }
    let value =
        r#"{"op":"object.set.v1","request_id":"r","channel":"c","key":"k","value_b64":"ew=="}"#;
    assert!(
        rejection(value)
            .2
            .starts_with("object value must be valid JSON: ")
    );
}

#[test]
fn a_rejection_is_answered_by_the_op_that_answers_the_request() {
    assert_eq!(
        rejection(r#"{"op":"object.set.v1","request_id":"r"}"#).0,
        "publish.ack.v1"
    );
    assert_eq!(
        rejection(r#"{"op":"subscribe.v1","request_id":"r"}"#).0,
        "subscribe.ack.v1"
    );
    assert_eq!(
        rejection(r#"{"op":"novel.v9","request_id":"r"}"#),
        (
            "error.v1",
            "r".to_owned(),
            "unknown op: \"novel.v9\"".to_owned()
        )
    );
    let (op, id, _) = rejection(r#"{"op":"publish.v1","request_id":"r","channel":1}"#);
    assert_eq!((op, &*id), ("publish.ack.v1", "r"));
}

#[test]
fn an_empty_payload_is_legal_and_absent_patience_is_the_default() {
    for (timeout, expected) in [
        ("", 5000),
        (",\"timeout_ms\":0", 5000),
        (",\"timeout_ms\":-3", 5000),
        (",\"timeout_ms\":70", 70),
    ] {
        let line =
            format!(r#"{{"op":"publish.v1","request_id":"r","channel":"c","event":"e"{timeout}}}"#);
        let order = READER.read(line.as_bytes()).expect("an order");
        assert_eq!(order.timeout, Duration::from_millis(expected));
    }
}
