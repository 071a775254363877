//! Lines of `ably.sock`.

use bytes::BytesMut;
use falco::protocol::ipc::{Answer, Incoming, Request, write_line};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::load;

#[derive(Deserialize)]
struct Vectors {
    requests: Vec<Line>,
    incoming: Vec<Line>,
    answers: Vec<Exact>,
}

#[derive(Deserialize)]
struct Line {
    line: String,
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
struct Exact {
    answer: Owned,
    line: String,
}

#[derive(Deserialize)]
struct Owned {
    op: String,
    request_id: String,
    ok: bool,
    error: Option<String>,
}

fn check(line: &str, read: &Value, fields: &Map<String, Value>) {
    for (name, want) in fields {
        assert_eq!(&read[name], want, "{name} of {line}");
    }
}

#[test]
fn requests_read_as_the_contract_says() {
    for case in load::<Vectors>("ipc.json").requests {
        let request = Request::decode(case.line.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", case.line));
        let read = json!({
            "op": request.op, "request_id": request.request_id, "channel": request.channel,
            "event": request.event, "payload_b64": request.payload_b64, "key": request.key,
            "value_b64": request.value_b64, "subscription_id": request.subscription_id,
            "timeout_ms": request.timeout_ms,
        });
        check(&case.line, &read, &case.fields);
    }
}

#[test]
fn what_a_transport_sends_reads_as_the_contract_says() {
    for case in load::<Vectors>("ipc.json").incoming {
        let incoming: Incoming<'_> = serde_json::from_str(&case.line).expect(&case.line);
        let read = json!({
            "op": incoming.op, "request_id": incoming.request_id, "ok": incoming.ok,
            "error": incoming.error, "subscription_id": incoming.subscription_id,
            "message_id": incoming.message_id, "channel": incoming.channel, "event": incoming.event,
            "payload_b64": incoming.payload_b64, "received_at_ms": incoming.received_at_ms,
        });
        check(&case.line, &read, &case.fields);
    }
}

#[test]
fn answers_have_the_predecessors_bytes() {
    for case in load::<Vectors>("ipc.json").answers {
        let mut out = BytesMut::new();
        let answer = Answer {
            op: &case.answer.op,
            request_id: &case.answer.request_id,
            ok: case.answer.ok,
            error: case.answer.error.as_deref(),
            code: None,
            retryable: None,
        };
        write_line(&mut out, &answer);
        assert_eq!(out, case.line);
    }
}
