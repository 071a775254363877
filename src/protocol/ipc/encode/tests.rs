use super::*;

const FIVE_SECONDS: Duration = Duration::from_secs(5);

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn message<'a>(payload: &'a [u8], key: &'a &'a str) -> Message<'a, &'a str> {
    let event = "e\"v";
    Message {
        event,
        payload,
        key,
    }
}

#[test]
fn a_publish_is_one_line_with_every_field() {
    let line = written(|out| publish(out, &"1.2", "c\n", &message(b"{} ", &"k"), FIVE_SECONDS));
    assert_eq!(
        line,
        "{\"op\":\"publish.v1\",\"request_id\":\"1.2\",\"channel\":\"c\\n\",\"event\":\"e\\\"v\",\
             \"payload_b64\":\"e30g\",\"message_id\":\"k\",\"idempotency_key\":\"k\",\"timeout_ms\":5000}\n"
    );
}

#[test]
fn a_batch_numbers_its_messages() {
    let messages = [message(b"", &"k0"), message(b"a", &"k\"1")];
    let line = written(|out| publish_batch(out, &1, "c", &"base", messages, FIVE_SECONDS));
    assert_eq!(
        line,
        "{\"op\":\"publish.batch.v1\",\"request_id\":\"1\",\"channel\":\"c\",\"timeout_ms\":5000,\"messages\":[\
             {\"event\":\"e\\\"v\",\"payload_b64\":\"\",\"message_id\":\"base:0\",\"idempotency_key\":\"k0\"},\
             {\"event\":\"e\\\"v\",\"payload_b64\":\"YQ==\",\"message_id\":\"base:1\",\"idempotency_key\":\"k\\\"1\"}]}\n"
    );
}

#[test]
fn an_object_set_and_the_small_requests_are_as_the_contract_has_them() {
    assert_eq!(
        written(|out| object_set(out, &1, "c", "k", b"1", FIVE_SECONDS)),
        "{\"op\":\"object.set.v1\",\"request_id\":\"1\",\"channel\":\"c\",\"key\":\"k\",\"value_b64\":\"MQ==\",\"timeout_ms\":5000}\n"
    );
    assert_eq!(
        written(|out| hello(out, &"h")),
        "{\"op\":\"hello.v1\",\"request_id\":\"h\"}\n"
    );
    assert_eq!(
        written(|out| subscribe(out, 1, "s", "c", None)),
        "{\"op\":\"subscribe.v1\",\"request_id\":\"1\",\"subscription_id\":\"s\",\"channel\":\"c\"}\n"
    );
    assert!(written(|out| subscribe(out, 1, "s", "c", Some("e"))).ends_with(",\"event\":\"e\"}\n"));
}

#[test]
fn every_line_reads_back_as_what_was_meant() {
    let payload: Vec<u8> = (0..=255).collect();
    let line = written(|out| {
        publish(
            out,
            &7,
            "\u{1f600}",
            &message(&payload, &"\\"),
            FIVE_SECONDS,
        );
    });
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["channel"], "\u{1f600}");
    assert_eq!(value["idempotency_key"], "\\");
    let decoded = PAYLOAD.decode(value["payload_b64"].as_str().unwrap());
    assert_eq!(decoded.unwrap(), payload);
}
