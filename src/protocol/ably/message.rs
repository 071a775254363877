//! Ably's protocol message and what it carries (TR, TM, TP, CD), tolerant of
//! what stock SDKs really send.
//!
//! Fields unknown to us are ignored and unknown actions kept as numbers
//! (RTF1). Absent, null and default mean the same for every field, and a
//! number may come as any width, as a float, or as a decimal string.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::action::{Action, flags};
use super::data::Data;
use super::error::ErrorInfo;
use super::lenient;
use super::object::ObjectMessage;

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
        deserialize_with = "lenient::list"
    )]
    pub messages: Vec<Message>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::list"
    )]
    pub presence: Vec<PresenceMessage>,
    /// Object messages (OM).
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::list"
    )]
    pub state: Vec<ObjectMessage>,
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
        deserialize_with = "lenient::list"
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

    /// Gives every message and presence event the id, connection and time that
    /// it inherits from this protocol message (TM2a, TM2c, TM2f, TP3).
    pub fn name_messages(&mut self) {
        let Self {
            id,
            connection_id,
            timestamp,
            messages,
            presence,
            ..
        } = self;
        let derived = |own: &mut Option<String>, index: usize| {
            if let (None, Some(id)) = (&own, &id) {
                *own = Some(format!("{id}:{index}"));
            }
        };
        for (index, item) in messages.iter_mut().enumerate() {
            derived(&mut item.id, index);
            item.timestamp = item.timestamp.or(*timestamp);
            if item.connection_id.is_none() {
                item.connection_id.clone_from(connection_id);
            }
        }
        for (index, item) in presence.iter_mut().enumerate() {
            derived(&mut item.id, index);
            item.timestamp = item.timestamp.or(*timestamp);
            if item.connection_id.is_none() {
                item.connection_id.clone_from(connection_id);
            }
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
#[serde(rename_all = "camelCase", default, remote = "Self")]
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
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::value"
    )]
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
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::value"
    )]
    pub version: Option<serde_json::Value>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::value"
    )]
    pub annotations: Option<serde_json::Value>,
}

/// One presence event (TP3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
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
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::value"
    )]
    pub extras: Option<serde_json::Value>,
}

/// How long `value` is as JSON text.
fn json_len(value: &serde_json::Value) -> usize {
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // A value always has a JSON text, and counting cannot fail.
    _ = serde_json::to_writer(&mut count, value);
    count.0
}

impl Message {
    /// Its size as Ably limits it (TM6): name, data, clientId and extras.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let extras = self.extras.as_ref().map_or(0, json_len);
        text(&self.name) + text(&self.client_id) + self.data.len() + extras
    }
}

impl PresenceMessage {
    /// Its size as Ably limits it (TP5): data, clientId and extras.
    #[must_use]
    pub fn size(&self) -> usize {
        let client_id = self.client_id.as_ref().map_or(0, String::len);
        let extras = self.extras.as_ref().map_or(0, json_len);
        client_id + self.data.len() + extras
    }
}

/// The serials one ACKed protocol message was given (TR4s).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishResult {
    /// One per message; `None` when that message was conflated away.
    #[serde(deserialize_with = "lenient::list")]
    pub serials: Vec<Option<String>>,
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
