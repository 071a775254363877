//! Publishing through to a subscriber.

use serde_json::json;

use crate::client::{payload, publish};
use crate::rig::{Rig, Setup};

fn in_format(format: &str) -> Rig {
    Rig::start_with(Setup {
        env: vec![("DAEMON_ABLY_FORMAT", format.to_owned())],
        ..Setup::default()
    })
}

#[test]
fn payloads_arrive_byte_for_byte_and_in_order_in_both_formats() {
    for format in ["msgpack", "json"] {
        let rig = in_format(format);
        let mut subscriber = rig.client();
        assert_eq!(subscriber.subscribe("session:1:conversation")["ok"], true);
        let payloads: Vec<Vec<u8>> = (0..300_u32)
            .map(|n| [&n.to_le_bytes()[..], b" \xff\x00 {\"a\": 1}\n"].concat())
            .collect();
        let mut publisher = rig.client();
        for (n, payload) in payloads.iter().enumerate() {
            publisher.send(&publish(
                "session:1:conversation",
                &format!("m{n}"),
                payload,
            ));
        }
        for n in 0..payloads.len() {
            let answer = publisher.answer();
            assert_eq!(
                (&answer["op"], &answer["ok"]),
                (&json!("publish.ack.v1"), &json!(true))
            );
            assert_eq!(answer["request_id"], format!("m{n}"));
        }
        for (n, expected) in payloads.iter().enumerate() {
            let message = subscriber.message();
            assert_eq!(message["message_id"], format!("m{n}"));
            assert_eq!(&payload(&message), expected);
        }
    }
}

#[test]
fn a_batch_is_published_as_one_and_refused_as_one() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.subscribe("c");
    let messages: Vec<_> = (0..3)
        .map(|n| json!({"event": format!("e{n}"), "payload_b64": "", "message_id": format!("b:{n}")}))
        .collect();
    let answer =
        client.ask(json!({"op": "publish.batch.v1", "channel": "c", "messages": messages}));
    assert_eq!(answer["ok"], true, "{answer}");
    for n in 0..3 {
        assert_eq!(client.message()["event"], format!("e{n}"));
    }
    let uneven = json!([{"event": "a", "message_id": "x"}, {"event": "b", "message_id": "y"}]);
    let answer = client.ask(json!({"op": "publish.batch.v1", "channel": "c", "messages": uneven}));
    assert_eq!(
        (&answer["ok"], &answer["code"], &answer["retryable"]),
        (&json!(false), &json!(40_031), &json!(false))
    );
}

#[test]
fn a_message_id_makes_a_repetition_harmless_and_an_own_id_is_made_without_one() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.subscribe("c");
    for id in ["same", "same", "other"] {
        client.send(&publish("c", id, b"x"));
        assert_eq!(client.answer()["ok"], true);
    }
    let nameless = client.ask(json!({"op": "publish.v1", "channel": "c", "event": "e"}));
    assert_eq!(nameless["ok"], true);
    assert_eq!(client.message()["message_id"], "same");
    assert_eq!(client.message()["message_id"], "other");
    assert!(
        client.message()["message_id"]
            .as_str()
            .is_some_and(|id| id.len() >= 16)
    );
}

#[test]
fn refusals_say_whether_another_try_may_help() {
    let rig = Rig::start_with(Setup {
        minting: crate::broker::Minting {
            capability: r#"{"allowed":["publish"]}"#.to_owned(),
            lifetime_secs: 3600,
        },
        ..Setup::default()
    });
    let mut client = rig.client();
    client.send(&publish("allowed", "1", b"x"));
    assert_eq!(client.answer()["ok"], true);
    client.send(&publish("denied", "2", b"x"));
    let answer = client.answer();
    assert_eq!(
        (&answer["code"], &answer["retryable"]),
        (&json!(40_160), &json!(false)),
        "{answer}"
    );
    client.send(&publish("allowed", "3", &vec![b'x'; 70_000]));
    let answer = client.answer();
    assert_eq!(
        (&answer["code"], &answer["retryable"]),
        (&json!(40_009), &json!(false)),
        "{answer}"
    );
    let answer = client.subscribe("allowed");
    assert_eq!(
        (&answer["op"], &answer["ok"], &answer["code"]),
        (&json!("subscribe.ack.v1"), &json!(false), &json!(40_160))
    );
}

#[test]
fn an_object_set_reaches_the_rest_interface() {
    let rig = Rig::start();
    let mut client = rig.client();
    let set = json!({"op": "object.set.v1", "channel": "session:1:status", "key": "k", "value_b64": "InJ1bm5pbmci"});
    let answer = client.ask(set);
    assert_eq!(
        (&answer["op"], &answer["ok"]),
        (&json!("publish.ack.v1"), &json!(true)),
        "{answer}"
    );
}
