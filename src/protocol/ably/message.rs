//! Ably's protocol message and what it carries (TR, TM, TP, CD), tolerant of
//! what stock SDKs really send.
//!
//! Fields unknown to us are ignored and unknown actions kept as numbers
//! (RTF1). Absent, null and default mean the same for every field, and a
//! number may come as any width, as a float, or as a decimal string.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::error::ErrorInfo;

/// What a protocol message asks for or reports (TR2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Action {
    /// Also what an absent action means: ably-go omits it when 0.
    #[default]
    Heartbeat,
    Ack,
    Nack,
    Connect,
    Connected,
    Disconnect,
    Disconnected,
    Close,
    Closed,
    Error,
    Attach,
    Attached,
    Detach,
    Detached,
    Presence,
    Message,
    Sync,
    Auth,
    Activate,
    Object,
    ObjectSync,
    Annotation,
    /// An action of a later protocol; ignored (RTF1).
    Unknown(u8),
}

impl Action {
    const KNOWN: [Self; 22] = [
        Self::Heartbeat,
        Self::Ack,
        Self::Nack,
        Self::Connect,
        Self::Connected,
        Self::Disconnect,
        Self::Disconnected,
        Self::Close,
        Self::Closed,
        Self::Error,
        Self::Attach,
        Self::Attached,
        Self::Detach,
        Self::Detached,
        Self::Presence,
        Self::Message,
        Self::Sync,
        Self::Auth,
        Self::Activate,
        Self::Object,
        Self::ObjectSync,
        Self::Annotation,
    ];

    /// The action with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::KNOWN
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Unknown(number))
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown(number) => number,
            known => Self::KNOWN
                .iter()
                .position(|action| *action == known)
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or_default(),
        }
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient::number(deserializer).map(Self::from_number)
    }
}

/// Bits of [`ProtocolMessage::flags`] (TR3).
#[expect(missing_docs, reason = "the names are the specification's")]
pub mod flags {
    pub const HAS_PRESENCE: u64 = 1 << 0;
    pub const HAS_BACKLOG: u64 = 1 << 1;
    pub const RESUMED: u64 = 1 << 2;
    pub const TRANSIENT: u64 = 1 << 4;
    pub const ATTACH_RESUME: u64 = 1 << 5;
    pub const HAS_OBJECTS: u64 = 1 << 7;
    pub const PRESENCE: u64 = 1 << 16;
    pub const PUBLISH: u64 = 1 << 17;
    pub const SUBSCRIBE: u64 = 1 << 18;
    pub const PRESENCE_SUBSCRIBE: u64 = 1 << 19;
    pub const ANNOTATION_PUBLISH: u64 = 1 << 21;
    pub const ANNOTATION_SUBSCRIBE: u64 = 1 << 22;
    pub const OBJECT_SUBSCRIBE: u64 = 1 << 24;
    pub const OBJECT_PUBLISH: u64 = 1 << 25;
    /// Every mode bit.
    pub const MODES: u64 = PRESENCE
        | PUBLISH
        | SUBSCRIBE
        | PRESENCE_SUBSCRIBE
        | ANNOTATION_PUBLISH
        | ANNOTATION_SUBSCRIBE
        | OBJECT_SUBSCRIBE
        | OBJECT_PUBLISH;
}

/// One frame of the realtime protocol (TR4).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ProtocolMessage {
    pub action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDetails>,
    /// `Some("")` is not `None`: an ERROR with an empty channel concerns a
    /// channel, one without concerns the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_details: Option<ConnectionDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_key: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub flags: Option<u64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub msg_serial: Option<u64>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub messages: Vec<Message>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub presence: Vec<PresenceMessage>,
    /// Object messages (OM), kept as they came.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub state: Vec<serde_json::Value>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub timestamp: Option<i64>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub params: BTreeMap<String, String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub res: Vec<PublishResult>,
}

impl ProtocolMessage {
    /// A message that has only an action.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            action,
            ..Self::default()
        }
    }

    /// Whether every bit of `mask` is set.
    #[must_use]
    pub fn has_flags(&self, mask: u64) -> bool {
        self.flags.unwrap_or(0) & mask == mask
    }
}

/// The token of an AUTH message (AD).
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthDetails {
    /// A secret.
    pub access_token: String,
}

impl std::fmt::Debug for AuthDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthDetails(…)")
    }
}

/// What the server says of a connection in CONNECTED (CD2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ConnectionDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_key: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub max_message_size: Option<u64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub max_frame_size: Option<u64>,
    /// Messages per second.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub max_inbound_rate: Option<u64>,
    /// Milliseconds.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub connection_state_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Milliseconds.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub max_idle_interval: Option<u64>,
    /// Milliseconds.
    #[serde(
        rename = "objectsGCGracePeriod",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub objects_gc_grace_period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_code: Option<String>,
}

/// One message of a channel (TM2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Data::is_none")]
    pub data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<serde_json::Value>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub timestamp: Option<i64>,
    /// `MESSAGE_CREATE` is 0 (TM5).
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub action: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<serde_json::Value>,
}

/// One presence event (TP3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct PresenceMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// ABSENT 0, PRESENT 1, ENTER 2, LEAVE 3, UPDATE 4 (TP2).
    #[serde(deserialize_with = "lenient::number")]
    pub action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(skip_serializing_if = "Data::is_none")]
    pub data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<serde_json::Value>,
}

/// The serials one ACKed protocol message was given (TR4s).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishResult {
    /// One per message; `None` when that message was conflated away.
    #[serde(deserialize_with = "lenient::or_default")]
    pub serials: Vec<Option<String>>,
}

/// Deserializers that take what SDKs really send.
pub(crate) mod lenient {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{self, Deserialize, Deserializer, Visitor};

    struct NumberVisitor<T>(PhantomData<T>);

    impl<'de, T: TryFrom<i128>> Visitor<'de> for NumberVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number in range, of any width, float or decimal string")
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            in_range(i128::from(value))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            in_range(i128::from(value))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            if value.fract() != 0.0 || !value.is_finite() {
                return Err(E::invalid_value(
                    de::Unexpected::Float(value),
                    &"a whole number",
                ));
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "i128 holds every f64 we accept; the range check follows"
            )]
            in_range(value as i128)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            let number: i128 = value
                .parse()
                .map_err(|_| E::invalid_value(de::Unexpected::Str(value), &"a decimal number"))?;
            in_range(number)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
            d.deserialize_any(self)
        }
    }

    fn in_range<T: TryFrom<i128>, E: de::Error>(value: i128) -> Result<Option<T>, E> {
        T::try_from(value)
            .map(Some)
            .map_err(|_| E::custom(format_args!("number {value} is out of range")))
    }

    /// A whole number in any form, or `None` for null.
    pub(crate) fn option_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<i128>,
    {
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }

    /// A whole number in any form; null is the default.
    pub(crate) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<i128> + Default,
    {
        option_number(deserializer).map(Option::unwrap_or_default)
    }

    /// Any value; null is the default.
    pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de> + Default,
    {
        Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_action_is_a_heartbeat() {
        let message: ProtocolMessage = serde_json::from_str("{}").expect("decodes");
        assert_eq!(message.action, Action::Heartbeat);
    }

    #[test]
    fn unknown_actions_and_fields_are_kept_out_of_the_way() {
        let text = r#"{"action":77,"novel":{"a":[1]},"messages":null,"msgSerial":3.0}"#;
        let message: ProtocolMessage = serde_json::from_str(text).expect("decodes");
        assert_eq!(message.action, Action::Unknown(77));
        assert_eq!(message.msg_serial, Some(3));
    }

    #[test]
    fn every_action_has_its_number_on_the_wire() {
        for number in 0..=255 {
            assert_eq!(Action::from_number(number).number(), number);
        }
        assert_eq!(Action::Message.number(), 15);
        assert_eq!(Action::Annotation.number(), 21);
    }
}
