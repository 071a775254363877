use super::super::codec::{Format, decode_value, encode_value_into};
use super::*;

#[test]
fn bytes_are_base64_in_json_and_binary_in_msgpack() {
    let data = ObjectData {
        bytes: Some(ObjectBytes(Bytes::from_static(b"hi"))),
        ..ObjectData::default()
    };
    let mut json = Vec::new();
    encode_value_into(Format::Json, &data, &mut json);
    assert_eq!(json, br#"{"bytes":"aGk="}"#);
    let mut msgpack = Vec::new();
    encode_value_into(Format::Msgpack, &data, &mut msgpack);
    assert_eq!(msgpack, b"\x81\xa5bytes\xc4\x02hi");
    for (format, body) in [(Format::Json, json), (Format::Msgpack, msgpack)] {
        let again: ObjectData = decode_value(format, &body).expect("decodes");
        assert_eq!(again, data);
    }
}

#[test]
fn json_text_may_be_marked_by_an_encoding() {
    let text = r#"{"string":"{}","encoding":"json"}"#;
    let mut data: ObjectData = serde_json::from_str(text).expect("decodes");
    data.normalize();
    assert_eq!(data.json.as_deref(), Some("{}"));
    assert!(data.is_one_value());
    assert!(!ObjectData::default().is_one_value());
}
