use super::super::action::Action;
use super::super::codec;
use super::super::data::Data;
use super::super::message::ProtocolMessage;
use super::*;

fn sent(messages: &Messages, msg_serial: u64, channel: &str) -> ProtocolMessage {
    let mut out = BytesMut::new();
    messages.put_protocol_message(&mut out, msg_serial, channel);
    codec::decode(messages.format, &out.freeze()).expect("a protocol message")
}

#[test]
fn what_is_sent_is_what_was_drafted_in_both_formats() {
    let payload = PAYLOAD.encode(b"{\"a\":\"\\u00e9\"}\n");
    let draft = Draft {
        id: "id-1:0",
        name: "conversation.\"message\"",
        payload_b64: &payload,
        idempotency_key: "key-1",
    };
    for format in [Format::Json, Format::Msgpack] {
        let messages = Messages::encode(format, [draft, draft]).expect("base64");
        let message = sent(&messages, 300, "session:é:conversation");
        assert_eq!(message.action, Action::Message);
        assert_eq!(message.msg_serial, Some(300));
        assert_eq!(message.channel.as_deref(), Some("session:é:conversation"));
        assert_eq!(message.messages.len(), 2);
        let first = &message.messages[0];
        assert_eq!(first.id.as_deref(), Some("id-1:0"));
        assert_eq!(first.name.as_deref(), Some("conversation.\"message\""));
        assert_eq!(
            first.data,
            Data::Binary(Bytes::from_static(b"{\"a\":\"\\u00e9\"}\n"))
        );
        let extras = first.extras.as_ref().expect("extras");
        assert_eq!(extras["headers"][IDEMPOTENCY_HEADER], "key-1");
        assert_eq!(messages.size(), 2 * first.size());
    }
}

#[test]
fn what_is_absent_is_not_sent() {
    let draft = Draft {
        name: "e",
        ..Draft::default()
    };
    for format in [Format::Json, Format::Msgpack] {
        let messages = Messages::encode(format, [draft]).expect("base64");
        let message = sent(&messages, 0, "c");
        assert_eq!(message.messages[0].id, None);
        assert_eq!(message.messages[0].extras, None);
        assert_eq!(message.messages[0].data, Data::Binary(Bytes::new()));
        assert_eq!(messages.size(), 1);
    }
}

#[test]
fn every_width_of_serial_text_payload_and_count_decodes() {
    for len in [0, 1, 2, 31, 32, 255, 256, 65_535, 65_536] {
        let (name, payload) = ("n".repeat(len), PAYLOAD.encode(vec![7; len]));
        let draft = Draft {
            name: &name,
            payload_b64: &payload,
            ..Draft::default()
        };
        let messages = Messages::encode(Format::Msgpack, [draft]).expect("base64");
        let message = sent(&messages, 1 << (len % 64), &name);
        assert_eq!(message.messages[0].name.as_deref(), Some(&*name));
        assert_eq!(message.messages[0].data.len(), len);
    }
    for (count, serial) in [(15, 127), (16, 128), (10_000, u64::MAX >> 1)] {
        let draft = Draft::default();
        let messages = Messages::encode(Format::Msgpack, vec![draft; count]).expect("base64");
        let message = sent(&messages, serial, "c");
        assert_eq!(
            (message.messages.len(), message.msg_serial),
            (count, Some(serial))
        );
    }
}

#[test]
fn anything_but_padded_standard_base64_is_refused() {
    for payload_b64 in [
        "a", "YQ", "YQ=", "YQ===", "Y===", "YW-_", "YQ==\n", " YQ=", "====",
    ] {
        for format in [Format::Json, Format::Msgpack] {
            let draft = Draft {
                payload_b64,
                ..Draft::default()
            };
            assert_eq!(
                Messages::encode(format, [draft]),
                Err(BadBase64),
                "{payload_b64}"
            );
        }
    }
}
