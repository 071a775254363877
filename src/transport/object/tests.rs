use super::*;
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

fn text(value: &str, id: &str) -> String {
    let set = ObjectSet {
        channel: "c",
        key: "k",
        value: value.as_bytes(),
        id,
    };
    String::from_utf8(body(set).expect("a value")).expect("text")
}

#[test]
fn a_value_keeps_its_kind_and_its_text() {
    let table = [
        (r#""say \"hi\" é""#, r#"{"string":"say \"hi\" é"}"#),
        ("1.50", r#"{"number":1.50}"#),
        (
            "-12345678901234567890",
            r#"{"number":-12345678901234567890}"#,
        ),
        ("true", r#"{"boolean":true}"#),
        (r#" {"a": 1} "#, r#"{"json":"{\"a\": 1}"}"#),
        ("[]", r#"{"json":"[]"}"#),
        ("null", r#"{"json":"null"}"#),
    ];
    for (value, sent) in table {
        let body = format!(r#"{{"objectId":"root","mapSet":{{"key":"k","value":{sent}}}}}"#);
        assert_eq!(text(value, ""), body);
    }
}

#[test]
fn the_id_makes_a_repetition_harmless() {
    let with_id = r#"{"objectId":"root","mapSet":{"key":"k","value":{"number":1}},"id":"e-1"}"#;
    assert_eq!(text("1", "e-1"), with_id);
}

#[test]
fn what_is_no_json_is_refused_with_the_contract_s_words() {
    let set = ObjectSet {
        channel: "c",
        key: "k",
        value: b"{oops",
        id: "",
    };
    let error = body(set).expect_err("no JSON");
    assert!(
        error
            .to_string()
            .starts_with("object value must be valid JSON: ")
    );
    assert!(!error.is_retryable());
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Response {
    let headers = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: headers.collect::<HeaderMap>(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[test]
fn a_refusal_is_read_from_its_body_its_headers_or_its_status() {
    let body = r#"{"error":{"code":40160,"statusCode":401,"message":"denied"}}"#;
    let error = refusal(&answer(401, &[], body));
    assert_eq!(error.to_string(), "denied (code=40160, status=401)");

    let headers = [
        ("x-ably-errorcode", "42911"),
        ("x-ably-errormessage", "slow down"),
    ];
    let error = refusal(&answer(429, &headers, "<html>"));
    assert_eq!((error.code, error.is_retryable()), (42911, true));

    let error = refusal(&answer(502, &[], "<html>"));
    assert_eq!((error.code, error.is_retryable()), (50200, true));
}
