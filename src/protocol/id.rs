//! The names things go by on their way through the chain.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

/// The UUID of a name (version 5, RFC 9562 section 5.5): of `parts`, one behind the
/// other, in `namespace`.
pub(crate) fn named(namespace: &Uuid, parts: &[&[u8]]) -> Uuid {
    let mut name = Sha1::new_with_prefix(namespace.as_bytes());
    for part in parts {
        name.update(part);
    }
    let [first @ .., _, _, _, _] = name.finalize().0;
    Builder::from_sha1_bytes(first).into_uuid()
}

/// One attempt of a daemon to hand over one side effect; sixteen raw bytes on
/// the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId(Uuid);

impl EffectId {
    /// An id nobody used before.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id with these bytes, in the order they have on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The bytes as they go on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The same id as a UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Uuid> for EffectId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for EffectId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What has to stay in order: effects with one key leave in the order they
/// arrived, effects with different keys do not wait for each other.
///
/// A session's id where there is one, else the channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(Arc<str>);

impl LaneKey {
    /// The lane called `name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for LaneKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The namespace of the keys daemons give, so that they compare as ids do.
/// Journals hold what comes of it: it never changes.
const GIVEN_NAMESPACE: Uuid = Uuid::from_u128(0x91d0_44ac_7e5b_5f0d_a2c8_30ee_5b17_64d3);

/// What makes two copies of one message the same message.
///
/// It goes to Ably as the message id, and never changes over retries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdempotencyKey {
    /// The effect's own id, or one derived from what identifies its content.
    Uuid(Uuid),
    /// What the daemon chose.
    Given(Box<str>),
}

impl IdempotencyKey {
    /// The key as it is compared; a server knows a key only together with its
    /// channel, and every route has a server of its own.
    #[must_use]
    pub fn comparable(&self, route: Option<&str>, channel: &str) -> Uuid {
        let text = match (self, route) {
            (Self::Uuid(id), None) => return *id,
            (Self::Uuid(id), Some(_)) => Cow::from(id.to_string()),
            (Self::Given(text), _) => Cow::from(&**text),
        };
        let [route, channel, text] = [route.unwrap_or_default(), channel, &text].map(str::as_bytes);
        named(&GIVEN_NAMESPACE, &[route, b"\0", channel, b"\0", text])
    }

    /// Its length as text.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no key is empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Uuid(_) => uuid::fmt::Hyphenated::LENGTH,
            Self::Given(text) => text.len(),
        }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => id.fmt(f),
            Self::Given(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, appendix A.4.
    #[test]
    fn a_name_has_the_uuid_that_it_has_everywhere_in_however_many_parts_it_comes() {
        let known: Uuid = "2ed6657d-e927-568b-95e1-2665a8aea6a2".parse().unwrap();
        let parts: [&[&[u8]]; 2] = [&[b"www.example.com"], &[b"www.", b"example.com"]];
        for parts in parts {
            assert_eq!(named(&Uuid::NAMESPACE_DNS, parts), known);
        }
    }

    #[test]
    fn an_effect_id_keeps_the_byte_order_of_the_wire() {
        let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let id = EffectId::from_bytes(bytes);
        assert_eq!(id.as_bytes(), &bytes);
        assert_eq!(id.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(id.to_string().parse::<EffectId>().unwrap(), id);
    }
}
