//! What goes to the transport.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

use super::effect::Effect;
use crate::protocol::id::{IdempotencyKey, named};

/// The namespace of batch ids; never changes, or a batch sent again after an
/// update would not be recognised.
const BATCH_NAMESPACE: Uuid = Uuid::from_u128(0x2b7c_9e10_64d5_5c0a_8f3e_71ab_04d9_c6e2);

/// Which request an answer belongs to: where its lane is, which filling of the
/// lane's front it was, and which sending of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId {
    pub(super) slot: u32,
    pub(super) generation: u64,
    pub(super) attempt: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.slot, self.generation, self.attempt)
    }
}

/// The text is none of our request ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOurs;

impl FromStr for RequestId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        fn number<T: FromStr>(part: Option<&str>) -> Result<T, NotOurs> {
            part.ok_or(NotOurs)?.parse().map_err(|_| NotOurs)
        }
        let mut parts = text.splitn(3, '.');
        Ok(Self {
            slot: number(parts.next())?,
            generation: number(parts.next())?,
            attempt: number(parts.next())?,
        })
    }
}

/// One request, borrowed from its lane.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The answer has to carry it.
    pub id: RequestId,
    /// How long the transport may take.
    pub timeout: Duration,
    /// The effects it carries, at least one. More than one are publishes to
    /// one channel.
    pub effects: Vec<&'a Effect>,
}

impl Request<'_> {
    /// What the messages of a batch are called: `<base>:<index>`.
    ///
    /// It stands for this list of effects and no other, because Ably drops a
    /// whole batch when it knows the base.
    pub(crate) fn base(&self) -> Uuid {
        let mut name = Vec::with_capacity(self.effects.len() * 17);
        for effect in &self.effects {
            match &effect.key {
                IdempotencyKey::Uuid(id) => {
                    name.push(b'u');
                    name.extend_from_slice(id.as_bytes());
                }
                IdempotencyKey::Given(text) => {
                    name.push(b'g');
                    name.extend_from_slice(&text.len().to_le_bytes());
                    name.extend_from_slice(text.as_bytes());
                }
            }
        }
        named(&BATCH_NAMESPACE, &[&name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_survives_the_wire_and_nothing_else_is_one() {
        let id = RequestId {
            slot: 7,
            generation: 1 << 40,
            attempt: 3,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "7", "7.1", "7.1.x", "hello", "7.1.2.3", "-1.1.1"] {
            assert_eq!(text.parse::<RequestId>(), Err(NotOurs), "{text}");
        }
    }
}
