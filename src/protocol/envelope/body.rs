//! The bytes of a payload, and what is known of them.

use std::ops::Deref;

use bytes::Bytes;

/// A payload or a value: the bytes as received.
///
/// Two are equal if their bytes are.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Bytes,
    is_json: bool,
}

impl Body {
    /// Bytes that were read as JSON a moment ago.
    pub(super) fn json(bytes: Bytes) -> Self {
        let is_json = true;
        Self { bytes, is_json }
    }

    /// Whether this is surely JSON; else nobody has looked.
    pub(crate) fn is_known_json(&self) -> bool {
        self.is_json
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let is_json = false;
        Self { bytes, is_json }
    }
}

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Body {}
