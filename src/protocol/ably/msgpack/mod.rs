//! The fast path for msgpack: publishes, deliveries and ACKs.
//!
//! Those are nearly all frames there are, and reading and writing them field
//! by field costs a third of what serde does. This path knows only the plain
//! form of a frame; at anything else it steps back, and serde decides. So it
//! can be wrong about no frame: what it writes is byte for byte what serde
//! writes, and what it reads serde reads the same.

mod read;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;

const NIL: u8 = 0xc0;
const FALSE: u8 = 0xc2;
const TRUE: u8 = 0xc3;

/// How deep plain extras nest.
const NESTING_MAX: usize = 8;

/// How a kind of header is written: short form, longest short, 16-bit marker.
struct Header {
    short: u8,
    short_max: usize,
    marker: u8,
}

const MAP: Header = Header {
    short: 0x80,
    short_max: 15,
    marker: 0xde,
};
const ARRAY: Header = Header {
    short: 0x90,
    short_max: 15,
    marker: 0xdc,
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use bytes::Bytes;
    use serde_json::Value;

    use super::super::data::Data;
    use super::super::message::{Action, Message, ProtocolMessage, PublishResult};
    use super::*;

    fn text() -> impl Strategy<Value = Option<String>> {
        of(prop_oneof!["[a-z]{0,40}", "\\PC{0,300}"])
    }

    fn data() -> impl Strategy<Value = Data> {
        prop_oneof![
            Just(Data::None),
            "\\PC{0,300}".prop_map(Data::String),
            vec(any::<u8>(), 0..300).prop_map(|bytes| Data::Binary(bytes.into())),
            (65_500..65_600usize).prop_map(|len| Data::Binary(vec![7; len].into())),
        ]
    }

    /// A map, as extras are; sometimes with what is not plain.
    fn extras() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-z]{0,40}".prop_map(Value::from),
        ];
        let map = |inner| prop::collection::btree_map("[a-z]{0,9}", inner, 0..4);
        let value = leaf.prop_recursive(10, 20, 3, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                map(inner).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-z]{0,9}", value, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    prop_compose! {
        fn message()(
            texts in [text(), text(), text(), text(), text(), text()],
            data in data(),
            extras in of(extras()),
            timestamp in of(-1..i64::MAX),
            action in of(any::<u8>()),
        ) -> Message {
            let [id, client_id, connection_id, name, encoding, serial] = texts;
            Message {
                id, client_id, connection_id, name, data, encoding, extras,
                timestamp, action, serial, ..Message::default()
            }
        }
    }

    prop_compose! {
        fn frame()(
            texts in [text(), text(), text(), text()],
            flags in of(any::<u64>()),
            msg_serial in of(0..300_000u64),
            action in any::<u8>(),
            count in of(any::<u32>()),
            timestamp in of(-1..i64::MAX),
            messages in vec(message(), 0..5),
            serials in vec(vec(text(), 0..20), 0..3),
        ) -> ProtocolMessage {
            let [id, channel, channel_serial, connection_id] = texts;
            ProtocolMessage {
                id, channel, channel_serial, connection_id,
                count, flags, msg_serial, timestamp, messages,
                res: serials.into_iter().map(|serials| PublishResult { serials }).collect(),
                ..ProtocolMessage::new(Action::from_number(action))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_it_writes_is_what_serde_writes(message in frame()) {
            let mut out = Vec::new();
            prop_assume!(encode(&message, &mut out));
            let expected = rmp_serde::to_vec_named(&message).expect("encodes");
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn what_it_reads_is_what_serde_reads(message in frame(), cut in any::<prop::sample::Index>()) {
            let mut bytes = rmp_serde::to_vec_named(&message).expect("encodes");
            let frame = Bytes::from(bytes.clone());
            if encode(&message, &mut Vec::new()) {
                prop_assert_eq!(decode(&frame), Some(message));
            }
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(&bytes.into()), None);
        }

        #[test]
        fn a_changed_byte_makes_it_read_as_serde_or_step_back(
            message in frame(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = rmp_serde::to_vec_named(&message).expect("encodes");
            let index = at.index(bytes.len());
            bytes[index] = byte;
            if let Some(read) = decode(&bytes.clone().into()) {
                let expected: ProtocolMessage = rmp_serde::from_slice(&bytes).expect("decodes");
                prop_assert_eq!(read, expected);
            }
        }
    }

    #[test]
    fn a_frame_that_is_not_plain_is_left_to_serde() {
        let mut out = vec![7];
        let attached = ProtocolMessage {
            error: Some(crate::protocol::ably::error::ErrorInfo::new(90003, "x")),
            ..ProtocolMessage::new(Action::Attached)
        };
        assert!(!encode(&attached, &mut out));
        assert_eq!(out, [7]);
        assert_eq!(decode(&Bytes::from_static(b"\x81\xa5novel\xc0")), None);
        assert_eq!(decode(&Bytes::from_static(b"\x81\xa5count\xc0")), None);
    }
}
