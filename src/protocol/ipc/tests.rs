use super::*;

#[test]
fn a_line_of_the_predecessor_decodes_without_our_fields() {
    let line = r#"{"op":"publish.v1","request_id":"r1","channel":"c","event":"e","payload_b64":"aGk=","future":1}"#;
    let request = Request::decode(line.as_bytes()).expect("decodes");
    assert_eq!(request.op, "publish.v1");
    assert!(request.message_id.is_empty());
    assert!(matches!(request.channel, Cow::Borrowed("c")));
}

#[test]
fn an_acceptance_is_not_lost_over_what_is_said_beside_it() {
    let line = r#"{"op":"publish.ack.v1","request_id":"r","ok":true,"error":{},"code":"0",
            "retryable":"no","features":7,"max_line_bytes":-1}"#;
    let incoming: Incoming<'_> = serde_json::from_str(line).expect("decodes");
    assert!(incoming.ok);
    assert_eq!((incoming.error, incoming.code), (None, None));
    assert_eq!((incoming.retryable, incoming.features), (None, None));
    assert_eq!(incoming.max_line_bytes, None);
    let line = r#"{"error":"e\n","code":40000,"retryable":true}"#;
    let incoming: Incoming<'_> = serde_json::from_str(line).expect("decodes");
    assert_eq!(incoming.error.as_deref(), Some("e\n"));
    assert_eq!(
        (incoming.code, incoming.retryable),
        (Some(40_000), Some(true))
    );
}

#[test]
fn an_answer_without_error_has_the_bytes_the_predecessor_wrote() {
    let mut out = BytesMut::new();
    let answer = Answer {
        op: "publish.ack.v1",
        request_id: "r1",
        ok: true,
        error: None,
        code: None,
        retryable: None,
    };
    write_line(&mut out, &answer);
    assert_eq!(
        &out[..],
        b"{\"op\":\"publish.ack.v1\",\"request_id\":\"r1\",\"ok\":true}\n"
    );
}
