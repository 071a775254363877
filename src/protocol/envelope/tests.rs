use super::fields::FIELDS;
use super::*;

const ID: EffectId = EffectId::from_bytes([7; 16]);

fn routed(json: &str) -> Result<SideEffect, RouteError> {
    let body = Bytes::copy_from_slice(json.as_bytes());
    route(ID, &body, &Routing::for_device("dev-1"))
}

fn published(json: &str) -> (String, String, String) {
    match routed(json).expect("routes").operation {
        Operation::Publish {
            channel,
            event,
            payload,
        } => (
            channel.into(),
            event.into(),
            String::from_utf8(payload.to_vec()).unwrap(),
        ),
        Operation::ObjectSet { .. } => panic!("an object set"),
    }
}

fn lane(json: &str) -> String {
    routed(json).expect("routes").lane.to_string()
}

fn key(json: &str) -> String {
    routed(json).expect("routes").key.to_string()
}

fn failure(json: &str) -> String {
    routed(json).expect_err("fails").to_string()
}

#[test]
fn the_event_name_is_event_else_type_else_the_effect_fails() {
    assert_eq!(published(r#"{"event":"a","type":"b"}"#).1, "a");
    assert_eq!(published(r#"{"event":"","type":"b"}"#).1, "b");
    assert_eq!(
        published(r#"{"type":"anything at all"}"#).1,
        "anything at all"
    );
    for json in [
        "{}",
        "null",
        r#"{"event":"","type":""}"#,
        r#"{"channel":"c"}"#,
    ] {
        assert_eq!(failure(json), "missing event name in side-effect payload");
    }
}

#[test]
fn a_route_is_named_or_it_is_the_chains_own() {
    let route = |json: &str| routed(json).expect("routes").route;
    assert_eq!(route(r#"{"type":"t","route":"eu"}"#).as_deref(), Some("eu"));
    assert_eq!(route(r#"{"type":"t","route":""}"#), None);
    assert_eq!(route(r#"{"type":"t"}"#), None);
    assert!(failure(r#"{"type":"t","route":1}"#).contains("\"route\" must be a string"));
}

#[test]
fn the_channel_defaults_to_the_device() {
    assert_eq!(published(r#"{"type":"t","channel":"c"}"#).0, "c");
    assert_eq!(published(r#"{"type":"t"}"#).0, "device-events:dev-1");
    assert_eq!(
        published(r#"{"type":"t","channel":""}"#).0,
        "device-events:dev-1"
    );
}

#[test]
fn the_payload_is_published_byte_for_byte() {
    let json = r#"{"type":"t", "payload" :  { "b" : 1.0e2,	"a":"\u00e9\/" } }"#;
    assert_eq!(
        published(json).2,
        "{ \"b\" : 1.0e2,\t\"a\":\"\\u00e9\\/\" }"
    );
    for value in ["null", "\"\"", "[1, 2]", "0", "false", "\"\\ud83d\""] {
        let json = format!(r#"{{"type":"t","payload":{value}}}"#);
        assert_eq!(published(&json).2, value);
    }
}

#[test]
fn without_a_payload_the_whole_json_is_published_verbatim() {
    let json = " {\"type\" : \"t\",\n\"x\":1}\n ";
    assert_eq!(published(json).2, json);
}

#[test]
fn field_names_match_without_regard_to_case() {
    let json = r#"{"TYPE":"t","Channel":"c","EvEnT":"e","PAYLOAD":1}"#;
    assert_eq!(published(json), ("c".into(), "e".into(), "1".into()));
    assert_eq!(
        lane("{\"type\":\"t\",\"\u{17f}e\u{17f}\u{17f}ion_id\":\"s\"}"),
        "s"
    );
    assert_eq!(
        failure("{\"type\":\"t\",\"object_\u{212a}ey\":\"k\"}"),
        "missing channel for object-set side-effect"
    );
    assert_eq!(published(r#"{"type":"t","\u0063hannel":"c"}"#).0, "c");
}

#[test]
fn the_last_duplicate_wins_whatever_its_case() {
    let json = r#"{"type":"t","event":"a","EVENT":"b","payload":1,"Payload":null}"#;
    let (_, event, payload) = published(json);
    assert_eq!((event.as_str(), payload.as_str()), ("b", "null"));
}

#[test]
fn null_leaves_a_text_field_as_it_was() {
    assert_eq!(published(r#"{"type":"t","event":"a","event":null}"#).1, "a");
    assert_eq!(published(r#"{"type":"t","event":null}"#).1, "t");
}

#[test]
fn a_known_field_of_the_wrong_type_fails_the_effect() {
    for field in FIELDS {
        for value in ["1", "true", "{}", "[]"] {
            let json = format!(r#"{{"type":"t","{field}":{value},"{field}":"x"}}"#);
            assert_eq!(
                failure(&json),
                format!("unreadable side-effect JSON: field \"{field}\" must be a string")
            );
        }
    }
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    let json = r#"{"type":"t","x":{"event":1},"repo":[1],"\ud800":0,"payload":2}"#;
    assert_eq!(published(json).2, "2");
}

#[test]
fn what_is_not_one_json_object_fails_and_is_not_quoted() {
    for json in [
        "",
        " ",
        "{",
        "[]",
        "\"secret\"",
        "1",
        "{}{}",
        "{} x",
        "{\"type\":\"t\",}",
        "{type:1}",
        "{\"type\":\"a\nb\"}",
        "{\"type\":01}",
        "\u{feff}{}",
    ] {
        let text = failure(json);
        assert!(text.starts_with("unreadable side-effect JSON: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn json_that_is_not_utf8_fails() {
    let body = Bytes::from_static(b"{\"type\":\"\xff\"}");
    let error = route(ID, &body, &Routing::for_device("d")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unreadable side-effect JSON: invalid UTF-8 at byte 9"
    );
}

#[test]
fn a_lone_surrogate_in_a_name_becomes_a_replacement_character() {
    assert_eq!(
        published(r#"{"type":"a\ud83db\udc00"}"#).1,
        "a\u{fffd}b\u{fffd}"
    );
    assert_eq!(published(r#"{"type":"\ud83d\ude00\n"}"#).1, "\u{1f600}\n");
}

#[test]
fn an_object_key_makes_an_object_set_that_needs_a_channel_and_a_payload() {
    let effect = routed(r#"{"object_key":"k","channel":"c","payload": {"a":1} }"#).unwrap();
    assert_eq!(
        effect.operation,
        Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"{\"a\":1}").into()
        }
    );
    assert_eq!(
        failure(r#"{"object_key":"k","payload":1}"#),
        "missing channel for object-set side-effect"
    );
    assert_eq!(
        failure(r#"{"object_key":"k","channel":"c"}"#),
        "missing payload for object-set side-effect"
    );
    assert!(routed(r#"{"object_key":"k","channel":"c","payload":null}"#).is_ok());
    assert_eq!(
        published(r#"{"object_key":"","type":"t","payload":1}"#).1,
        "t"
    );
}

#[test]
fn the_lane_is_the_session_where_one_is_named_else_the_channel() {
    let all =
        r#"{"type":"t","session_id":"a","payload":{"session_id":"b"},"channel":"session:c:x"}"#;
    assert_eq!(lane(all), "a");
    let payload = r#"{"type":"t","payload":{"session_id":"b"},"channel":"session:c:x"}"#;
    assert_eq!(lane(payload), "b");
    let channel = r#"{"type":"t","payload":{"session_id":7},"channel":"session:c:x"}"#;
    assert_eq!(lane(channel), "c");
    assert_eq!(lane(r#"{"type":"t","channel":"session:c"}"#), "session:c");
    assert_eq!(lane(r#"{"type":"t","channel":"session::x"}"#), "session::x");
    assert_eq!(lane(r#"{"type":"t","payload":[1]}"#), "device-events:dev-1");
}

#[test]
fn the_key_of_an_effect_is_its_id_unless_it_says_better() {
    assert_eq!(key(r#"{"type":"t"}"#), ID.to_string());
    assert_eq!(key(r#"{"type":"t","idempotency_key":"mine"}"#), "mine");
    let without_number = r#"{"type":"conversation.message.v1","payload":{"message_id":"m"}}"#;
    assert_eq!(key(without_number), ID.to_string());
}

#[test]
fn a_key_too_long_for_a_message_id_fails() {
    let with_key = |bytes| {
        format!(
            r#"{{"type":"t","idempotency_key":"{}"}}"#,
            "k".repeat(bytes)
        )
    };
    assert!(routed(&with_key(512)).is_ok());
    assert_eq!(
        failure(&with_key(513)),
        "idempotency_key has 513 bytes and the limit is 512"
    );
}

#[test]
fn a_conversation_message_keeps_its_key_when_its_bytes_change() {
    let message = |number: u32, nonce: u32| {
        key(&format!(
            r#"{{"event":"conversation.message.v1","channel":"session:s:conversation",
                "payload":{{"message_id":"m","sequence_number":{number},"nonce":{nonce}}}}}"#
        ))
    };
    assert_eq!(message(1, 1), message(1, 2));
    assert_ne!(message(1, 1), message(2, 1));
    assert_eq!(message(1, 1), "73e90b85-0b3a-5883-bfdc-7dfcaae253c2");
}

#[test]
fn an_effect_that_fits_no_transport_request_fails() {
    let fits = format!(r#"{{"type":"t","payload":"{}"}}"#, "x".repeat(1_500_000));
    assert!(routed(&fits).is_ok());
    let over = format!(r#"{{"type":"t","payload":"{}"}}"#, "x".repeat(1_600_000));
    assert!(matches!(routed(&over), Err(RouteError::TooLarge { .. })));
}

#[test]
fn an_effect_whose_lane_or_route_fits_no_record_fails() {
    for field in ["session_id", "route"] {
        let with = |bytes| format!(r#"{{"type":"t","{field}":"{}"}}"#, "x".repeat(bytes));
        assert!(routed(&with(1000)).is_ok());
        let over = routed(&with(4_000_000));
        assert!(matches!(over, Err(RouteError::TooLarge { .. })), "{field}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_read_as_a_payload_is_a_slice_of_the_input(value in "[ -~]{0,40}") {
        let json = format!(r#"{{"type":"t","payload":{value}}}"#);
        if let Ok(effect) = routed(&json) {
            let body = effect.operation.body();
            proptest::prop_assert!(json.as_bytes().windows(body.len().max(1)).any(|w| *w == **body));
        }
    }

    #[test]
    fn whatever_is_said_to_be_json_is(
        value in "[ \n\"\\\\{}\\[\\]:,a1.e-]{0,12}",
        is_whole in proptest::prelude::any::<bool>(),
    ) {
        let name = if is_whole { "x" } else { "payload" };
        let json = format!(r#" {{"type":"t","{name}":{value}}} "#);
        if let Ok(effect) = routed(&json) {
            let body = effect.operation.body();
            proptest::prop_assert!(body.is_known_json());
            proptest::prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok());
        }
    }

    #[test]
    fn no_bytes_make_routing_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        let _ = route(ID, &Bytes::from(bytes), &Routing::for_device("d"));
    }
}

#[test]
fn an_effect_counts_for_its_whole_frame_however_small_its_payload() {
    let json = format!(
        r#"{{"type":"t","payload":1,"note":"{}"}}"#,
        "x".repeat(9_000)
    );
    assert!(routed(&json).expect("routes").bytes >= json.len());
}

#[test]
fn what_is_no_sequence_number_identifies_nothing() {
    for number in ["null", "{}", "[]", "true", r#""""#] {
        let json = format!(
            r#"{{"type":"conversation.message.v1","payload":{{"message_id":"m","sequence_number":{number}}}}}"#
        );
        assert_eq!(key(&json), ID.to_string(), "{number}");
    }
}

#[test]
fn a_sequence_number_is_an_integer_of_the_payload_also_as_text() {
    let number = |payload: &str| {
        let json = format!(r#"{{"type":"t","sequence_number":9,"payload":{payload}}}"#);
        routed(&json).expect("routes").operation.sequence_number()
    };
    assert_eq!(number(r#"{"a":1,"sequence_number":7}"#), Some(7));
    assert_eq!(number(r#"{"sequence_number":"8"}"#), Some(8));
    for none in [
        r#"{"sequence_number":1.5}"#,
        r#"{"sequence_number":null}"#,
        "7",
        "[7]",
        "{}",
    ] {
        assert_eq!(number(none), None, "{none}");
    }
    let object = routed(r#"{"object_key":"k","channel":"c","payload":{"sequence_number":7}}"#);
    assert_eq!(object.expect("routes").operation.sequence_number(), None);
}
