//! What daemons and Falco say to each other: binary frames and the JSON in them.

use bytes::{Bytes, BytesMut};
use falco::protocol::envelope::{Operation, Routing, route};
use falco::protocol::frame::{Decoded, Decoder, Kind, Limits, Status, encode};
use falco::protocol::id::EffectId;
use serde::Deserialize;

use crate::{load, unhex};

#[derive(Deserialize)]
struct Frames {
    effects: Vec<Effect>,
    acks: Vec<Ack>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Effect {
    name: String,
    hex: String,
    id: String,
    flags: u8,
    payload: String,
}

#[derive(Deserialize)]
struct Ack {
    name: String,
    hex: String,
    id: String,
    status: u8,
    error: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    hex: String,
    /// Present when the frame can be answered.
    id: Option<String>,
}

fn effect_id(text: &str) -> EffectId {
    text.parse().expect("a UUID")
}

#[test]
fn effects_read_as_the_contract_says_however_they_are_split() {
    for case in load::<Frames>("frames.json").effects {
        let want = Decoded::Frame {
            code: case.flags,
            id: effect_id(&case.id),
            body: Bytes::from(case.payload),
        };
        let bytes = unhex(&case.hex);
        for piece in [1, 3, 27, 29, bytes.len()] {
            let mut decoder = Decoder::new(Kind::SideEffect, Limits::default());
            let mut input = BytesMut::new();
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                input.extend_from_slice(part);
                found.extend(decoder.decode(&mut input).expect(&case.name));
            }
            assert_eq!(
                found,
                std::slice::from_ref(&want),
                "{} by {piece}",
                case.name
            );
            assert!(decoder.is_between_frames(&input), "{}", case.name);
        }
    }
}

#[test]
fn effects_without_flags_have_the_contracts_bytes() {
    for case in load::<Frames>("frames.json").effects {
        if case.flags == 0 {
            let mut out = BytesMut::new();
            let body = case.payload.as_bytes();
            encode(Kind::SideEffect, 0, effect_id(&case.id), body, &mut out);
            assert_eq!(out, unhex(&case.hex), "{}", case.name);
        }
    }
}

#[test]
fn acks_have_the_contracts_bytes() {
    for case in load::<Frames>("frames.json").acks {
        let status = Status::from_code(case.status).expect(&case.name);
        let mut out = BytesMut::new();
        let body = case.error.as_bytes();
        encode(
            Kind::PublishAck,
            status.code(),
            effect_id(&case.id),
            body,
            &mut out,
        );
        assert_eq!(out, unhex(&case.hex), "{}", case.name);
    }
}

#[test]
fn a_frame_with_a_readable_id_is_answered_and_any_other_ends_the_connection() {
    for case in load::<Frames>("frames.json").refused {
        let mut decoder = Decoder::new(Kind::SideEffect, Limits::default());
        let mut input = BytesMut::from(&unhex(&case.hex)[..]);
        match (decoder.decode(&mut input), case.id) {
            (Ok(Some(Decoded::Mismatch { id: found, .. })), Some(want)) => {
                assert_eq!(found, effect_id(&want), "{}", case.name);
                assert!(decoder.is_between_frames(&input), "{}", case.name);
            }
            (Err(_), None) => {}
            (other, _) => panic!("{}: {other:?}", case.name),
        }
    }
}

#[derive(Deserialize)]
struct SideEffects {
    device_id: String,
    cases: Vec<SideEffectCase>,
}

#[derive(Deserialize)]
struct SideEffectCase {
    name: String,
    input: String,
    publish: Option<Publish>,
    object_set: Option<ObjectSet>,
    failed: Option<String>,
}

#[derive(Deserialize)]
struct Publish {
    channel: String,
    event: String,
    body: String,
}

#[derive(Deserialize)]
struct ObjectSet {
    channel: String,
    key: String,
    value: String,
}

impl SideEffectCase {
    fn want(&self) -> Option<Operation> {
        let publish = self.publish.as_ref().map(|want| Operation::Publish {
            channel: want.channel.as_str().into(),
            event: want.event.as_str().into(),
            payload: Bytes::from(want.body.clone()).into(),
        });
        let object_set = self.object_set.as_ref().map(|want| Operation::ObjectSet {
            channel: want.channel.as_str().into(),
            key: want.key.as_str().into(),
            value: Bytes::from(want.value.clone()).into(),
        });
        publish.or(object_set)
    }
}

#[test]
fn side_effects_go_where_the_contract_says() {
    let vectors: SideEffects = load("side_effects.json");
    let routing = Routing::for_device(&vectors.device_id);
    for case in vectors.cases {
        let body = Bytes::from(case.input.clone());
        match (route(EffectId::random(), &body, &routing), case.want()) {
            (Ok(effect), Some(want)) => assert_eq!(effect.operation, want, "{}", case.name),
            (Err(error), None) => {
                let text = case.failed.as_deref().expect("a case has an outcome");
                assert!(
                    error.to_string().starts_with(text),
                    "{}: {error}",
                    case.name
                );
            }
            (other, _) => panic!("{}: {other:?}", case.name),
        }
    }
}
