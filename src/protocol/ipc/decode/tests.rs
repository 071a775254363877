use super::*;

fn decode(line: &str) -> Result<Request<'_>, Malformed> {
    Request::decode(line.as_bytes())
}

#[test]
fn a_plain_line_is_borrowed_and_unknown_fields_are_skipped() {
    let line = r#"{"op":"publish.v1","request_id":"r1","channel":"c","future":{"a":[1]},"timeout_ms":250}"#;
    let request = decode(line).expect("decodes");
    assert!(matches!(request.channel, Cow::Borrowed("c")));
    assert_eq!(request.timeout_ms, Some(250));
}

#[test]
fn names_match_in_any_case_the_last_duplicate_wins_and_null_changes_nothing() {
    let request = decode(r#"{"OP":"a","op":"b","Request_ID":"r","event":null}"#).expect("decodes");
    assert_eq!((&*request.op, &*request.request_id), ("b", "r"));
    assert_eq!(request.event, "");
}

#[test]
fn escapes_are_undone() {
    let request =
        decode(r#"{"channel":"a\u00e9\n","messages":[{"event":"\"","x":1}]}"#).expect("decodes");
    assert_eq!(request.channel, "aé\n");
    assert_eq!(request.messages[0].event, "\"");
}

#[test]
fn a_field_of_the_wrong_type_still_tells_whom_to_answer() {
    for line in [
        r#"{"op":"publish.v1","channel":7,"request_id":"r1"}"#,
        r#"{"op":"publish.v1","timeout_ms":"5","request_id":"r1"}"#,
        r#"{"op":"publish.v1","timeout_ms":1.5,"request_id":"r1"}"#,
        r#"{"op":"publish.v1","messages":{},"event":[{}],"request_id":"r1"}"#,
        r#"{"op":"publish.v1","messages":[{"event":1}],"request_id":"r1"}"#,
    ] {
        let malformed = decode(line).expect_err(line);
        assert_eq!(
            (&*malformed.op, &*malformed.request_id),
            ("publish.v1", "r1")
        );
    }
}

#[test]
fn broken_json_tells_whom_to_answer_if_the_id_came_before_the_break() {
    for line in [
        r#"{"op":"x","request_id":"r1","channel":oops}"#,
        r#"{"op":"x","request_id":"r1"} trailing"#,
        r#"{"op":"x","request_id":"r1","messages":[7]}"#,
        r#"{"op":"x","request_id":"r1","#,
    ] {
        assert_eq!(decode(line).expect_err(line).request_id, "r1");
    }
    for line in ["", "[]", "7", "nonsense", r#"{"request_id":5}"#] {
        assert_eq!(decode(line).expect_err(line).request_id, "");
    }
}
