//! The actions and flags of the realtime protocol.

use serde::{Deserialize, Serialize};

use super::lenient;

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

/// Bits of [`ProtocolMessage::flags`](super::message::ProtocolMessage::flags) (TR3).
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
