//! Protocol messages to bytes and back, in JSON and msgpack.
//!
//! Decoding takes what SDKs really send (see [`super::message`]) and never
//! more memory than a few times the frame plus a few megabytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lenient;
use super::message::ProtocolMessage;
use super::msgpack;

/// How frames and REST bodies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Text frames, `application/json`.
    Json,
    /// Binary frames, `application/x-msgpack`; the SDKs' default.
    #[default]
    Msgpack,
}

impl Format {
    /// Its name in the `format` parameter of a websocket URL (RTN2a).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/x-msgpack",
        }
    }
}

/// Why bytes are no value of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not this type.
    #[error("malformed JSON")]
    Json(#[from] serde_json::Error),
    /// Not msgpack, or not this type.
    #[error("malformed msgpack")]
    Msgpack(#[from] rmp_serde::decode::Error),
}

/// Reads one frame of the realtime protocol.
///
/// # Errors
///
/// The frame is not a protocol message in `format`.
pub fn decode(format: Format, frame: &Bytes) -> Result<ProtocolMessage, DecodeError> {
    if format == Format::Msgpack
        && let Some(message) = msgpack::decode(frame)
    {
        return Ok(message);
    }
    decode_value(format, frame)
}

/// Appends one frame of the realtime protocol to `out`.
pub fn encode_into(format: Format, message: &ProtocolMessage, out: &mut Vec<u8>) {
    if format == Format::Msgpack && msgpack::encode(message, out) {
        return;
    }
    encode_value_into(format, message, out);
}

/// One frame of the realtime protocol.
#[must_use]
pub fn encode(format: Format, message: &ProtocolMessage) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    encode_into(format, message, &mut out);
    out
}

/// Reads a REST body.
///
/// # Errors
///
/// The body is no such value in `format`.
pub fn decode_value<T: DeserializeOwned>(format: Format, body: &[u8]) -> Result<T, DecodeError> {
    match format {
        Format::Json => Ok(serde_json::from_slice(body)?),
        Format::Msgpack => Ok(rmp_serde::from_slice(body)?),
    }
}

/// Reads a REST body that is one value or a list of them.
///
/// # Errors
///
/// The body is neither in `format`, or the list is too long.
pub fn decode_one_or_many<T: DeserializeOwned>(
    format: Format,
    body: &[u8],
) -> Result<Vec<T>, DecodeError> {
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: DeserializeOwned")]
    struct List<T>(#[serde(deserialize_with = "lenient::list")] Vec<T>);

    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_list = match format {
        Format::Json => first == Some(&b'['),
        Format::Msgpack => matches!(first, Some(0x90..=0x9f | 0xdc | 0xdd)),
    };
    if is_list {
        return decode_value(format, body).map(|List(list)| list);
    }
    decode_value(format, body).map(|value| vec![value])
}

/// Appends a REST body to `out`.
///
/// # Panics
///
/// Never for our types: they have string keys, and memory cannot fail to be
/// written.
pub fn encode_value_into<T: Serialize + ?Sized>(format: Format, value: &T, out: &mut Vec<u8>) {
    match format {
        Format::Json => {
            serde_json::to_writer(out, value).expect("our types have string keys");
        }
        Format::Msgpack => {
            rmp_serde::encode::write_named(out, value).expect("our types have string keys");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::super::message::{Action, Message, PublishResult};
    use super::*;

    fn publish() -> ProtocolMessage {
        let message = Message {
            id: Some("m:0".into()),
            name: Some("event".into()),
            data: Data::Binary(Bytes::from_static(b"\x00\xff payload")),
            extras: Some(serde_json::json!({"ref": {"n": 1.5}})),
            ..Message::default()
        };
        ProtocolMessage {
            channel: Some("session:1:conversation".into()),
            msg_serial: Some(70_000),
            messages: vec![message.clone(), Message::default()],
            ..ProtocolMessage::new(Action::Message)
        }
    }

    #[test]
    fn a_message_survives_both_formats() {
        for format in [Format::Json, Format::Msgpack] {
            let frame = Bytes::from(encode(format, &publish()));
            assert_eq!(decode(format, &frame).expect("decodes"), publish());
        }
    }

    #[test]
    fn an_ack_survives_both_formats() {
        let ack = ProtocolMessage {
            msg_serial: Some(0),
            count: Some(1),
            res: vec![PublishResult {
                serials: vec![Some("s:0".into()), None],
            }],
            ..ProtocolMessage::new(Action::Ack)
        };
        for format in [Format::Json, Format::Msgpack] {
            let frame = Bytes::from(encode(format, &ack));
            assert_eq!(decode(format, &frame).expect("decodes"), ack);
        }
    }

    #[test]
    fn msgpack_numbers_may_have_any_width() {
        // {"action": 15.0, "msgSerial": uint8 3, "flags": int64 4}
        let mut frame = vec![0x83, 0xa6];
        frame.extend_from_slice(b"action\xcb");
        frame.extend_from_slice(&15.0f64.to_be_bytes());
        frame.extend_from_slice(b"\xa9msgSerial\xcc\x03\xa5flags\xd3");
        frame.extend_from_slice(&4i64.to_be_bytes());
        let message = decode(Format::Msgpack, &frame.into()).expect("decodes");
        assert_eq!(message.action, Action::Message);
        assert_eq!((message.msg_serial, message.flags), (Some(3), Some(4)));
    }

    #[test]
    fn bytes_inside_extras_become_base64_text() {
        // {"messages":[{"extras":{"b": bin "hi"}}]}
        let frame = b"\x81\xa8messages\x91\x81\xa6extras\x81\xa1b\xc4\x02hi";
        let message = decode(Format::Msgpack, &Bytes::from_static(frame)).expect("decodes");
        assert_eq!(
            message.messages[0].extras,
            Some(serde_json::json!({"b": "aGk="}))
        );
    }

    #[test]
    fn a_body_is_one_value_or_a_list() {
        for (body, ids) in [
            (r#" {"id":"a"}"#, &["a"][..]),
            (r#"[{"id":"a"},{"id":"b"}]"#, &["a", "b"]),
        ] {
            let messages: Vec<Message> =
                decode_one_or_many(Format::Json, body.as_bytes()).expect("decodes");
            assert!(
                messages
                    .iter()
                    .map(|m| m.id.as_deref())
                    .eq(ids.iter().map(|id| Some(*id)))
            );
            let mut msgpack = Vec::new();
            encode_value_into(Format::Msgpack, &messages, &mut msgpack);
            let again: Vec<Message> =
                decode_one_or_many(Format::Msgpack, &msgpack).expect("decodes");
            assert_eq!(again, messages);
        }
    }

    #[test]
    fn a_list_that_only_claims_to_be_long_is_refused() {
        let frame = b"\x81\xa8messages\xdd\xff\xff\xff\xff\x80";
        assert!(decode(Format::Msgpack, &Bytes::from_static(frame)).is_err());
        let mut frame = b"\x81\xa8messages\xdc\xff\xff".to_vec();
        frame.extend(std::iter::repeat_n(0x80, 65_535));
        assert!(decode(Format::Msgpack, &frame.into()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256)) {
            let frame = Bytes::from(bytes);
            let _ = decode(Format::Json, &frame);
            let _ = decode(Format::Msgpack, &frame);
        }
    }
}
