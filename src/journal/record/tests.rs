//! A record's bytes, and back.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::journal::clock::Clock;
use crate::journal::entry::{DeadLetter, Effect, Settled};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

const SALT: u64 = 0x0123_4567_89ab_cdef;

fn line(body: Body<'_>, durable: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(
        &mut out,
        Salt::new(SALT),
        42,
        durable,
        1_800_000_000_000,
        body,
    );
    assert_eq!(out.pop(), Some(b'\n'));
    out
}

fn blanks(number: u64, durable: Option<u64>) -> Blanks {
    Blanks {
        salt: Salt::new(SALT),
        q: 42,
        number,
        durable,
    }
}

fn effect_line(effect: &Effect, n: u64, durable: Option<u64>) -> Vec<u8> {
    let mut line = Vec::new();
    let form = Form::of_effect(&mut line, effect, blanks(n, durable));
    assert_eq!(line.pop(), Some(b'\n'));
    assert_eq!(line.len(), form.length());
    line
}

fn published(payload: &[u8]) -> Effect {
    Effect {
        id: EffectId::from(Uuid::from_u128(7)),
        lane: LaneKey::new("lane"),
        route: None,
        key: IdempotencyKey::Uuid(Uuid::from_u128(7)),
        fingerprint: 9,
        arrived_ms: 5,
        operation: Operation::Publish {
            channel: "ch".into(),
            event: "ev".into(),
            payload: Bytes::copy_from_slice(payload).into(),
        },
    }
}

#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn offsets_are_where_the_table_says() {
    let effect = published(b"{}");
    let line = effect_line(&effect, 40, Some(41));
    assert_eq!(&line[Q], b"000000000000002a");
    assert_eq!(line[KIND], b'E');
    assert_eq!(&line[ID], b"00000000-0000-0000-0000-000000000007");
    let text = String::from_utf8(line).unwrap();
    let (fields, _) = text.split_at(text.len() - TRAILER);
    assert_eq!(
        &fields[ID.end..],
        r#"","l":"lane","n":40,"t":5,"s":"0000000000000029","h":"0000000000000009","ch":"ch","ev":"ev","p":{}"#
    );
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["p"], serde_json::json!({}));
}

#[test]
fn a_header_tells_its_salt_where_the_table_says() {
    let header = Body::Header {
        segment: Uuid::from_u128(1),
        prev_last: 41,
        prev_crc: 0xdead_beef,
        clock: Clock::default(),
    };
    let line = line(header, Some(41));
    assert_eq!(header_salt(&line), Some(Salt::new(SALT)));
    assert_eq!(&line[super::SALT], b"0123456789abcdef");
    let frame = frame(&line, Salt::new(SALT)).unwrap();
    let record = parse(&line, &frame).unwrap();
    assert!(matches!(
        record.payload,
        Payload::Header {
            prev_last: 41,
            prev_crc: 0xdead_beef,
            clock: None,
        }
    ));
}

#[test]
fn a_header_tells_its_clock_if_it_has_one() {
    for fmt in [
        "falco-journal 0123456789abcdef -7",
        "falco-journal 2a 3600000",
    ] {
        let clock = Clock::told(1_800_000_000_000, fmt).expect(fmt);
        let header = Body::Header {
            segment: Uuid::from_u128(1),
            prev_last: 41,
            prev_crc: 0,
            clock,
        };
        let line = line(header, None);
        let frame = frame(&line, Salt::new(SALT)).expect("a record");
        let record = parse(&line, &frame).expect("a header");
        let told = match record.payload {
            Payload::Header { clock, .. } => clock,
            other => panic!("{other:?}"),
        };
        assert_eq!(told, Some(clock));
    }
    for fmt in [
        "falco-journal",
        "falco-journal 0 1",
        "falco-journal x 1",
        "",
        "another 1 1",
    ] {
        assert_eq!(Clock::told(1, fmt), None, "{fmt}");
    }
}

#[test]
fn a_payload_that_would_break_its_line_is_base64() {
    for payload in [&b"{\n}"[..], b"", b"not json", b"\"\xff\"", b"{} {}"] {
        let effect = published(payload);
        let line = effect_line(&effect, 1, None);
        assert!(!line.contains(&b'\n'));
        assert!(memchr::memmem::find(&line, b"\"pb\":").is_some());
        serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    }
}

#[test]
fn no_line_is_longer_than_its_form_says() {
    let effect = published(b"{}");
    let mut bytes = Vec::new();
    let longest = effect_line(&effect, u64::MAX, Some(u64::MAX));
    for (n, durable) in [(1, None), (1_000_000, Some(1)), (u64::MAX, Some(1))] {
        let form = Form::of_effect(&mut bytes, &effect, blanks(n, durable));
        assert_eq!(longest.len(), form.length_max());
    }
}

#[test]
fn a_line_says_something_else_where_it_stands_only_if_that_is_as_long() {
    let effect = published(b"{}");
    let mut bytes = Vec::new();
    let form = Form::of_effect(&mut bytes, &effect, blanks(42, Some(1)));
    for (n, durable) in [(9, Some(1)), (100, Some(1)), (99, None)] {
        assert!(!form.fill(&mut bytes, blanks(n, durable)));
    }
    assert!(form.fill(&mut bytes, blanks(99, Some(2))));
    bytes.pop();
    assert_eq!(bytes, effect_line(&effect, 99, Some(2)));
}

#[test]
fn a_record_of_another_segment_does_not_fit() {
    let line = line(Body::Close, None);
    assert!(frame(&line, Salt::new(SALT)).is_some());
    assert!(frame(&line, Salt::new(SALT + 1)).is_none());
}

#[test]
fn a_stamped_copy_says_the_same_under_its_new_number() {
    let effect = published(b"[1, 2]");
    let mut line = effect_line(&effect, 42, Some(3));
    restamp(&mut line, Salt::new(1), 99);
    let frame = frame(&line, Salt::new(1)).unwrap();
    assert_eq!(frame.q, 99);
    let Payload::Effect(stored) = parse(&line, &frame).unwrap().payload else {
        panic!("an effect");
    };
    assert_eq!(stored.n, 42);
    assert_eq!(stored.to_effect(effect.id, 5), Some(effect));
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z:]{1,12}",
        "\\PC{1,8}",
        Just("a\"\\\n\u{0}é".to_owned())
    ]
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        Just(br#"{"a": [1, 2.50, "x"] }"#.to_vec()),
        Just(br#" {"v":1,"q":"0","c":"00000000"} "#.to_vec()),
    ]
}

/// Many of them have as many digits as another.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..20, 1_799_999_999_999_u64.., any::<u64>()]
}

prop_compose! {
    fn effects()(
        (id, key, given) in (any::<u128>(), any::<u128>(), proptest::option::of(names())),
        lane in names(),
        route in proptest::option::of(names()),
        fingerprint: u64,
        arrived_ms: u64,
        (channel, name, is_object) in (names(), names(), any::<bool>()),
        payload in payloads(),
    ) -> Effect {
        let body = Bytes::from(payload);
        let operation = if is_object {
            Operation::ObjectSet { channel: channel.into(), key: name.into(), value: body.into() }
        } else {
            Operation::Publish { channel: channel.into(), event: name.into(), payload: body.into() }
        };
        Effect {
            id: EffectId::from(Uuid::from_u128(id)),
            lane: LaneKey::new(lane),
            route: route.map(Into::into),
            key: match given {
                Some(text) => IdempotencyKey::Given(text.into()),
                None => IdempotencyKey::Uuid(Uuid::from_u128(key)),
            },
            fingerprint,
            arrived_ms,
            operation,
        }
    }
}

fn settled() -> impl Strategy<Value = Settled> {
    let known_by = proptest::option::of(any::<u128>());
    let fingerprint = prop_oneof![Just(0), any::<u64>()];
    (any::<u128>(), known_by, fingerprint).prop_map(|(id, known_by, fingerprint)| Settled {
        id: Uuid::from_u128(id).into(),
        known_by: Uuid::from_u128(known_by.unwrap_or(id)),
        fingerprint,
    })
}

#[test]
fn of_ids_alone_nothing_more_is_said_and_what_is_said_is_where_the_table_says() {
    let ids = [1, 2].map(|n| Settled::from(EffectId::from(Uuid::from_u128(n))));
    let one = Settled {
        known_by: Uuid::from_u128(0xab),
        fingerprint: 0xcd,
        ..ids[0]
    };
    for (settled, expected) in [
        (&ids[..1], ""),
        (
            &ids[..],
            r#","ids":["00000000-0000-0000-0000-000000000001","00000000-0000-0000-0000-000000000002"]"#,
        ),
        (
            &[one],
            r#","h":"00000000000000cd","ku":"000000000000000000000000000000ab""#,
        ),
    ] {
        let line = line(Body::Done(settled), None);
        let fields = &line[ID.end..line.len() - TRAILER];
        let expected = format!("\",\"t\":1800000000000{expected}");
        assert_eq!(fields, expected.as_bytes());
    }
}

/// Makes a line.
type Make<'a> = dyn Fn(&mut Vec<u8>, Blanks) -> Form + 'a;

proptest! {
    #[test]
    fn a_line_made_for_one_place_says_of_another_what_one_made_for_that_says(
        effect in effects(),
        settled in proptest::collection::vec(settled(), 1..=IDS_MAX),
        places in proptest::array::uniform2((number(), any::<Option<u64>>(), any::<u64>(), any::<u64>())),
    ) {
        let [one, other] = places.map(|(number, durable, q, salt)| Blanks {
            salt: Salt::new(salt),
            q,
            number,
            durable,
        });
        let of_effect: &Make<'_> = &|out, of| Form::of_effect(out, &effect, of);
        let of_done: &Make<'_> = &|out, of| Form::of_done(out, &settled, of);
        for make in [of_effect, of_done] {
            let mut whole = b"before it\n".to_vec();
            make(&mut whole, other);
            let mut bytes = b"before it\n".to_vec();
            let form = make(&mut bytes, one);
            let mut copied = b"before it\n".to_vec();
            form.copy(&bytes, &mut copied, other);
            prop_assert_eq!(&copied, &whole);
            if form.fill(&mut bytes, other) {
                prop_assert_eq!(&bytes, &whole);
            }
        }
    }

    #[test]
    fn any_effect_comes_back_as_it_was(effect in effects(), n: u64, durable: Option<u64>) {
        let line = effect_line(&effect, n, durable);
        prop_assert!(!line.contains(&b'\n') && !line.contains(&0));
        let frame = frame(&line, Salt::new(SALT)).expect("valid");
        let record = parse(&line, &frame).expect("ours");
        prop_assert_eq!(record.durable, durable);
        let Payload::Effect(stored) = record.payload else { panic!("an effect") };
        prop_assert_eq!(stored.n, n);
        prop_assert_eq!(stored.bytes(), effect.operation.body().len());
        prop_assert_eq!(stored.to_effect(effect.id, record.t), Some(effect));
    }

    #[test]
    fn any_dead_letter_comes_back_as_it_was(
        class in names(), error in names(), code: Option<u32>, attempts: u32, at_ms: u64,
    ) {
        let letter = DeadLetter { class: class.into(), code, error: error.into(), attempts, at_ms };
        let line = line(Body::Failed(EffectId::from(Uuid::nil()), &letter), None);
        let frame = frame(&line, Salt::new(SALT)).expect("valid");
        let Payload::Failed(read) = parse(&line, &frame).expect("ours").payload else { panic!("F") };
        prop_assert_eq!(read, letter);
    }

    #[test]
    fn what_is_settled_comes_back_in_order(
        settled in proptest::collection::vec(settled(), 1..=IDS_MAX),
    ) {
        let line = line(Body::Done(&settled), Some(1));
        let frame = frame(&line, Salt::new(SALT)).expect("valid");
        let Payload::Done(read) = parse(&line, &frame).expect("ours").payload else { panic!("D") };
        prop_assert_eq!(read, settled);
        serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    }
}
