//! The NDJSON spoken on `ably.sock`: one JSON object a line, both ways,
//! correlated by `request_id`.
//!
//! The four ops of the contract, and ours beside them, which old peers ignore:
//!
//! | op | answer | since |
//! |---|---|---|
//! | `publish.v1`, `publish.ack.v1` | `publish.ack.v1` | predecessor |
//! | `object.set.v1` | `publish.ack.v1` | predecessor |
//! | `subscribe.v1` | `subscribe.ack.v1` | predecessor |
//! | `publish.batch.v1` | `publish.ack.v1` | ours |
//! | `unsubscribe.v1` | `subscribe.ack.v1` | ours |
//! | `status.v1` | `status.ack.v1` | ours |
//! | `hello.v1` | `hello.ack.v1` | ours |
//! | anything else with a `request_id` | `error.v1` with `ok: false` | ours |
//!
//! Decoding borrows from the line; encoding appends to a buffer.

mod decode;
pub mod encode;

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::ably::error::ErrorInfo;

pub use decode::Malformed;

/// The longest line a peer accepts by default, newline excluded (2 MiB);
/// `DAEMON_ABLY_MAX_FRAME_BYTES` changes it.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The code of what a stopping transport leaves unanswered: Ably's "connection
/// closed". It says nothing of the request.
pub const CONNECTION_CLOSED: u32 = 80_017;

/// The code of what was not answered in time, and may or may not be done: Ably's
/// "timeout". A transport says it of Ably's silence; it is no refusal.
pub const TIMED_OUT: u32 = 50_003;

/// The features our transport answers `hello.v1` with.
pub const FEATURES: &[&str] = &[
    "publish.batch.v1",
    "unsubscribe.v1",
    "status.v1",
    "message_id",
];

/// A request, as read from one line.
///
/// Every field is optional here: which ones an op needs, and in which order
/// their absence is reported, is for the transport to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Which operation; unknown ones are answered with `error.v1`.
    pub op: Cow<'a, str>,
    /// Echoed in the answer.
    pub request_id: Cow<'a, str>,
    /// The Ably channel.
    pub channel: Cow<'a, str>,
    /// The event name, Ably's `Message.name`; empty is absent.
    pub event: Cow<'a, str>,
    /// The payload, base64.
    pub payload_b64: Cow<'a, str>,
    /// The client-supplied Ably message id (ours); empty is absent.
    pub message_id: Cow<'a, str>,
    /// The effect's idempotency key, carried to receivers in
    /// `extras.headers["idempotency-key"]` (ours); empty is absent.
    pub idempotency_key: Cow<'a, str>,
    /// The messages of a `publish.batch.v1`.
    pub messages: Vec<BatchMessage<'a>>,
    /// The map key of an `object.set.v1`.
    pub key: Cow<'a, str>,
    /// The value of an `object.set.v1`, base64 of JSON.
    pub value_b64: Cow<'a, str>,
    /// Chosen by the subscriber, unique within its connection.
    pub subscription_id: Cow<'a, str>,
    /// How long the requester waits, in milliseconds; absent or not positive
    /// means 5 s.
    pub timeout_ms: Option<i64>,
}

/// One message of a `publish.batch.v1`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// The event name.
    pub event: Cow<'a, str>,
    /// The payload, base64.
    pub payload_b64: Cow<'a, str>,
    /// `<base>:<index>` with one base for the whole batch (Ably's 40031);
    /// empty is absent.
    pub message_id: Cow<'a, str>,
    /// The effect's idempotency key, carried to receivers in
    /// `extras.headers["idempotency-key"]`; empty is absent.
    pub idempotency_key: Cow<'a, str>,
}

/// Anything a transport sends: an answer or a `message.v1`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Incoming<'a> {
    /// Tells answers and messages apart.
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    /// Which request this answers.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// Whether the request succeeded.
    pub ok: bool,
    /// Why it did not.
    #[serde(deserialize_with = "if_it_fits")]
    pub error: Option<String>,
    /// Ably's error code, when there is one (ours).
    #[serde(deserialize_with = "if_it_fits")]
    pub code: Option<u32>,
    /// Whether the same request may succeed later (ours).
    #[serde(deserialize_with = "if_it_fits")]
    pub retryable: Option<bool>,
    /// What the transport can do (`hello.ack.v1`).
    #[serde(deserialize_with = "if_it_fits")]
    pub features: Option<Vec<String>>,
    /// The longest line it reads (`hello.ack.v1`, ours).
    #[serde(deserialize_with = "if_it_fits")]
    pub max_line_bytes: Option<usize>,
    /// The subscription a `message.v1` belongs to.
    #[serde(borrow)]
    pub subscription_id: Cow<'a, str>,
    /// The Ably message id.
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    /// The channel a message came from.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The message's name.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// The true payload bytes, base64.
    #[serde(borrow)]
    pub payload_b64: Cow<'a, str>,
    /// What is left of Ably's `encoding` when it could not all be undone.
    #[serde(borrow)]
    pub encoding: Option<Cow<'a, str>>,
    /// When the transport received it, in milliseconds since the epoch.
    pub received_at_ms: i64,
    /// Set on the first message after which some may be missing (ours).
    pub continuity_lost: bool,
}

/// What does not fit counts as absent: an answer must not be lost because of
/// what is said beside it.
fn if_it_fits<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// An answer to a request, as our transport writes it.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// The answering op, see the table of this module.
    pub op: &'a str,
    /// The request's own id.
    pub request_id: &'a str,
    /// Whether the request succeeded.
    pub ok: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Ably's error code, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Whether the same request may succeed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// What `status.ack.v1` and the supervisor's status say of the transport.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TransportStatus {
    /// One entry per audience.
    pub connections: Vec<UpstreamStatus>,
    /// Clients connected to `ably.sock`.
    pub clients: u64,
    /// Subscriptions over all clients.
    pub subscriptions: u64,
}

/// The state of one connection to Ably.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamStatus {
    /// `daemon_falco` or `daemon_nagato`.
    pub audience: String,
    /// One of the states of RTN27, lower case.
    pub state: String,
    /// The server, without credentials.
    pub host: String,
    /// Ably's connection id, while there is one.
    pub connection_id: Option<String>,
    /// Publishes sent and not yet acknowledged.
    pub in_flight: u64,
    /// Publishes accepted from clients and not yet sent.
    pub queued: u64,
    /// The last reason for leaving `connected`.
    pub last_error: Option<ErrorInfo>,
}

impl UpstreamStatus {
    /// Whether it does not come back by itself soon: Ably refused it, or could
    /// not be reached for minutes.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "suspended")
    }
}

/// Appends `value` as one line.
///
/// # Panics
///
/// Never: the types of this module always serialize.
pub fn write_line(out: &mut BytesMut, value: &impl Serialize) {
    serde_json::to_writer(out.writer(), value).expect("ipc values serialize");
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests;
