use super::*;

fn message(json: &str) -> Message {
    serde_json::from_str(json).expect("decodes")
}

#[test]
fn base64_in_json_is_bytes_in_memory_and_base64_again_on_the_way_out() {
    let text = r#"{"data":"aGk=","encoding":"json/utf-8/base64"}"#;
    let decoded = message(text);
    assert_eq!(decoded.data, Data::Binary(Bytes::from_static(b"hi")));
    assert_eq!(decoded.encoding.as_deref(), Some("json/utf-8"));
    assert_eq!(serde_json::to_string(&decoded).expect("encodes"), text);
}

#[test]
fn a_broken_base64_is_left_as_it_came() {
    let decoded = message(r#"{"data":"a","encoding":"base64"}"#);
    assert_eq!(decoded.data, Data::String("a".into()));
    assert_eq!(decoded.encoding.as_deref(), Some("base64"));
}

#[test]
fn an_inline_value_is_its_json_text() {
    let decoded = message(r#"{"data":{"b":1,"a":[null,true]}}"#);
    assert_eq!(decoded.encoding.as_deref(), Some("json"));
    let value: Value = serde_json::from_slice(decoded.data.as_bytes()).expect("is JSON");
    assert_eq!(value, serde_json::json!({"b":1,"a":[null,true]}));
}

#[test]
fn undoing_stops_at_a_step_that_is_unknown_or_fails() {
    let bytes = Data::Binary(Bytes::from_static(b"\xff"));
    let (data, left) = undo(Data::String("/w==".into()), Some("json/utf-8/base64"));
    assert_eq!((data, left.as_deref()), (bytes.clone(), Some("json/utf-8")));
    let (data, left) = undo(bytes.clone(), Some("utf-8/cipher+aes-128-cbc"));
    assert_eq!(
        (data, left.as_deref()),
        (bytes, Some("utf-8/cipher+aes-128-cbc"))
    );
    let (data, left) = undo(Data::String("aGk=".into()), Some("utf-8/base64"));
    assert_eq!((data, left), (Data::String("hi".into()), None));
}
