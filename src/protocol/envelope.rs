//! The side-effect JSON, and where it goes.
//!
//! Owns the routing rules of the contract; what comes out is a [`SideEffect`]
//! that says everything the rest of the chain needs, or a [`RouteError`] that
//! fails it.
//!
//! | step | rule |
//! |---|---|
//! | operation | `object_key` non-empty: an object set of `payload` on `channel`; else a publish |
//! | event | `event`, else `type`, else the effect fails |
//! | body | the bytes of `payload`, else the bytes of the whole JSON |
//! | channel | `channel`, else the device's own |
//! | lane | `session_id`, else `payload.session_id`, else the session in the channel's name, else the channel |
//! | route | `route`, else the chain's own transport |
//! | identity | `idempotency_key`, else what identifies the content, else the effect's id |
//!
//! The JSON is read the way Go's `encoding/json` reads into a struct, because
//! that is how daemons out there were tested: field names match without regard
//! to case, the last duplicate wins, a known field of the wrong type fails the
//! effect, `null` leaves a text field as it was, and `"payload": null` is a
//! payload. One difference is deliberate: JSON that is not UTF-8 is refused.

mod body;
mod fields;
mod identity;
mod json;

use std::sync::Arc;

use bytes::Bytes;

use super::id::{EffectId, IdempotencyKey, LaneKey};
use super::ipc::LINE_BYTES_MAX;
pub use body::Body;
use fields::{Envelope, non_empty};
use identity::Identity;

/// The most an NDJSON request adds to its base64 payload and its names: the key
/// twice, escaped, and the fields themselves.
const LINE_OVERHEAD_BYTES: usize = 12 * KEY_BYTES_MAX + 1024;

/// The longest `idempotency_key`; it goes to Ably as a message id, and with
/// every message of a batch.
const KEY_BYTES_MAX: usize = 512;

/// The events whose payloads carry what identifies them, unless others are said.
pub const IDENTIFIED_EVENTS: [&str; 1] = ["conversation.message.v1"];

/// What routing has to know beside the JSON.
#[derive(Debug, Clone)]
pub struct Routing {
    default_channel: Arc<str>,
    identified_events: Arc<[Box<str>]>,
}

impl Routing {
    /// The routing of the device with this id.
    #[must_use]
    pub fn for_device(device_id: &str) -> Self {
        Self {
            default_channel: format!("device-events:{device_id}").into(),
            identified_events: IDENTIFIED_EVENTS.map(Into::into).into(),
        }
    }

    /// The same, with other events whose payloads carry what identifies them:
    /// two of them with one `message_id` and `sequence_number` are copies, even
    /// under different effect ids.
    #[must_use]
    pub fn identifying(self, events: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        Self {
            identified_events: events.into_iter().map(Into::into).collect(),
            ..self
        }
    }
}

/// One thing a daemon wants published, ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideEffect {
    /// The daemon's name for this attempt; the ack carries it.
    pub id: EffectId,
    /// What it must stay in order with.
    pub lane: LaneKey,
    /// Over which transport, if not over the chain's own.
    pub route: Option<Box<str>>,
    /// What makes copies of it recognisable.
    pub key: IdempotencyKey,
    /// What to do.
    pub operation: Operation,
    /// The memory it holds: its whole frame, however little of that is payload.
    pub bytes: usize,
    /// Whether it must not overtake what failed before it in its lane: a flag of
    /// its frame, not of the JSON.
    pub is_ordered: bool,
}

/// What a side effect asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Publish a message.
    Publish {
        /// Never empty.
        channel: Box<str>,
        /// Never empty.
        event: Box<str>,
        /// What the message says.
        payload: Body,
    },
    /// Set a key of a channel's object.
    ObjectSet {
        /// Never empty.
        channel: Box<str>,
        /// Never empty.
        key: Box<str>,
        /// JSON.
        value: Body,
    },
}

impl Operation {
    /// Whether it is a message.
    #[must_use]
    pub fn is_publish(&self) -> bool {
        matches!(self, Self::Publish { .. })
    }

    /// The payload or value.
    #[must_use]
    pub fn body(&self) -> &Body {
        match self {
            Self::Publish { payload, .. } => payload,
            Self::ObjectSet { value, .. } => value,
        }
    }

    /// The number a message's payload counts itself by. Read from the payload
    /// each time, because only what comes after a failure has to know it.
    #[must_use]
    pub fn sequence_number(&self) -> Option<i64> {
        let Self::Publish { payload, .. } = self else {
            return None;
        };
        let text = std::str::from_utf8(payload).ok()?;
        let number = Identity::read(text).sequence_number;
        number.trim_matches('"').parse().ok()
    }

    /// The channel it goes to.
    #[must_use]
    pub fn channel(&self) -> &str {
        match self {
            Self::Publish { channel, .. } | Self::ObjectSet { channel, .. } => channel,
        }
    }

    /// The event's name or the object's key.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Publish { event, .. } => event,
            Self::ObjectSet { key, .. } => key,
        }
    }
}

/// Why a side effect cannot be routed. The texts are known to logs and tests
/// outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not one JSON object.
    #[error("unreadable side-effect JSON: {reason}")]
    Unreadable {
        /// What is wrong, and where.
        reason: String,
    },
    /// A known field holds something else than text.
    #[error("unreadable side-effect JSON: field {field:?} must be a string")]
    NotText {
        /// The field, as the contract spells it.
        field: &'static str,
    },
    /// Neither `event` nor `type`.
    #[error("missing event name in side-effect payload")]
    MissingEvent,
    /// An object set that names no channel.
    #[error("missing channel for object-set side-effect")]
    MissingChannel,
    /// An object set without a value.
    #[error("missing payload for object-set side-effect")]
    MissingPayload,
    /// An `idempotency_key` that no message id can be.
    #[error("idempotency_key has {bytes} bytes and the limit is {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// More than a transport reads as one request.
    #[error("side effect of {bytes} bytes does not fit into a transport request")]
    TooLarge {
        /// The bytes of the payload and its names.
        bytes: usize,
    },
}

/// Decides where the effect `id` with this JSON goes.
///
/// # Errors
///
/// When the JSON is unreadable or does not say enough.
pub fn route(id: EffectId, body: &Bytes, routing: &Routing) -> Result<SideEffect, RouteError> {
    let text = std::str::from_utf8(body).map_err(|error| RouteError::Unreadable {
        reason: format!("invalid UTF-8 at byte {}", error.valid_up_to()),
    })?;
    let envelope = Envelope::read(text)?;
    if envelope.idempotency_key.len() > KEY_BYTES_MAX {
        let bytes = envelope.idempotency_key.len();
        return Err(RouteError::KeyTooLong { bytes });
    }
    let payload = envelope.payload.map(|raw| body.slice_ref(raw.as_bytes()));
    let payload = payload.map(Body::json);
    let operation = if envelope.object_key.is_empty() {
        let whole = || Body::json(body.clone());
        envelope.publish(payload.unwrap_or_else(whole), routing)?
    } else {
        envelope.object_set(payload)?
    };
    let identity = envelope.identity(&operation, routing);
    let lane = envelope.lane(&identity, operation.channel());
    check_size(&operation, lane.as_str().len() + envelope.route.len())?;
    Ok(SideEffect {
        id,
        lane,
        route: non_empty(&envelope.route).map(Into::into),
        key: envelope.key(id, &identity, &operation, routing),
        bytes: body.len() + operation.channel().len() + operation.name().len(),
        operation,
        is_ordered: false,
    })
}

impl Routing {
    /// Whether messages of this name carry what identifies them.
    pub(super) fn identifies(&self, event: &str) -> bool {
        self.identified_events.iter().any(|known| **known == *event)
    }
}

/// Refuses what the transport would close the connection over, and what would
/// fit into no record of the outbox: names may grow sixfold when JSON escapes
/// them, the payload by a third in base64. `place` is what lane and route take.
fn check_size(operation: &Operation, place: usize) -> Result<(), RouteError> {
    let names = operation.channel().len() + operation.name().len() + place;
    let body = operation.body().len();
    let line = body.div_ceil(3) * 4 + names * 6 + LINE_OVERHEAD_BYTES;
    if line > LINE_BYTES_MAX {
        let bytes = body + names;
        return Err(RouteError::TooLarge { bytes });
    }
    Ok(())
}

/// The first line of a text, without the byte order mark that some editors put
/// before it (RFC 8259, section 8.1: a parser may ignore it).
#[must_use]
pub fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
}

#[cfg(test)]
mod tests;
