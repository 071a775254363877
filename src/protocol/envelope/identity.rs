//! What an effect belongs to, and what makes it the same as another.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Operation, json, non_empty};
use crate::protocol::id::named;

/// The namespace of keys derived from a message's identity; never changes, or
/// a resend after an update would not be recognised.
const IDENTITY_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_2c5a_3b0e_5f7e_9a41_c2d7_88e3_1b64);

/// What a payload says of itself.
#[derive(Debug, Default)]
pub(super) struct Identity<'a> {
    pub session_id: Cow<'a, str>,
    pub message_id: Cow<'a, str>,
    /// As written: a number or a string that is not empty.
    pub sequence_number: &'a str,
}

impl<'a> Identity<'a> {
    /// Reads what is there; a payload of another shape says nothing.
    pub(super) fn read(payload: &'a str) -> Self {
        let mut identity = Self::default();
        let read = json::each_field(payload, |name, value| {
            if name.eq("sequence_number") {
                identity.sequence_number = if is_number(value) { value } else { "" };
            } else if name.eq("session_id") {
                identity.session_id = json::text(value).ok().flatten().unwrap_or_default();
            } else if name.eq("message_id") {
                identity.message_id = json::text(value).ok().flatten().unwrap_or_default();
            }
        });
        match read {
            Ok(()) => identity,
            Err(_) => Self::default(),
        }
    }
}

/// Whether messages can be told apart by it: two of them with `null`, or with
/// an object, would count as one, and the second would be dropped.
fn is_number(value: &str) -> bool {
    let is_text = value.starts_with('"') && value != "\"\"";
    is_text || value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// The key of a message that is known by its message id and sequence number,
/// whatever else changes between attempts.
pub(super) fn content_key(operation: &Operation, message_id: &str, number: &str) -> Uuid {
    let parts = [operation.channel(), operation.name(), message_id, number];
    let [channel, event, message, number] = parts.map(str::as_bytes);
    let name = [channel, b"\0", event, b"\0", message, b"\0", number];
    named(&IDENTITY_NAMESPACE, &name)
}

/// The session a channel `session:<id>:…` belongs to.
pub(super) fn session_in(channel: &str) -> Option<&str> {
    let (session, _) = channel.strip_prefix("session:")?.split_once(':')?;
    non_empty(session)
}
