//! The lines a transport writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use serde::Serialize;

use super::reply::Failure;
use super::subscriptions::Delivery;
use crate::protocol::ipc::{self, Answer, FEATURES, TransportStatus};

/// The op that answers what no other op does.
pub(super) const ERROR: &str = "error.v1";

/// Appends the answer to one request.
pub(super) fn put_answer(
    out: &mut BytesMut,
    op: &str,
    request_id: &str,
    result: Result<(), &Failure>,
) {
    let failure = result.err();
    let answer = Answer {
        op,
        request_id,
        ok: failure.is_none(),
        error: failure.map(|failure| &*failure.text),
        code: failure.and_then(|failure| failure.code),
        retryable: failure.map(|failure| failure.retryable),
    };
    ipc::write_line(out, &answer);
}

#[derive(Serialize)]
struct HelloLine<'a> {
    op: &'a str,
    request_id: &'a str,
    ok: bool,
    features: &'a [&'a str],
    max_line_bytes: usize,
}

/// Appends the answer to `hello.v1`.
pub(super) fn put_hello(out: &mut BytesMut, request_id: &str, max_line_bytes: usize) {
    let line = HelloLine {
        op: "hello.ack.v1",
        request_id,
        ok: true,
        features: FEATURES,
        max_line_bytes,
    };
    ipc::write_line(out, &line);
}

#[derive(Serialize)]
struct StatusLine<'a> {
    op: &'a str,
    request_id: &'a str,
    ok: bool,
    #[serde(flatten)]
    status: TransportStatus,
}

/// Appends the answer to `status.v1`.
pub(super) fn put_status(out: &mut BytesMut, request_id: &str, status: TransportStatus) {
    let line = StatusLine {
        op: "status.ack.v1",
        request_id,
        ok: true,
        status,
    };
    ipc::write_line(out, &line);
}

#[derive(Serialize)]
struct MessageLine<'a> {
    op: &'a str,
    subscription_id: &'a str,
    message_id: &'a str,
    channel: &'a str,
    event: &'a str,
    payload_b64: &'a str,
    received_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continuity_lost: bool,
}

/// Appends one `message.v1`.
pub(super) fn put_message(out: &mut BytesMut, delivery: &Delivery) {
    let message = &*delivery.message;
    out.reserve(message.payload.len() * 4 / 3 + 256);
    let line = MessageLine {
        op: "message.v1",
        subscription_id: &delivery.subscription_id,
        message_id: &message.message_id,
        channel: &message.channel,
        event: &message.event,
        payload_b64: &BASE64.encode(&message.payload),
        received_at_ms: message.received_at_ms,
        encoding: message.encoding.as_deref(),
        continuity_lost: delivery.continuity_lost,
    };
    ipc::write_line(out, &line);
}
