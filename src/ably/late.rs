//! Publishes that are acknowledged after their time.
//!
//! Whoever asked was told that nobody knows (50003), and mostly asks for the same
//! once more: the same bytes to the same channel, and so under the same message
//! ids. An ACK of either publishes both, and the first that comes answers: be the
//! repetition on its way, waiting, or still to come. So a server that takes 5.3 s
//! for what is waited for 5 s costs one attempt, and not every one like the other.
//!
//! ```text
//!          sent ──deadline──▶ open ───────ACK───────▶ accepted
//!                              │ ▲                       │
//!               2 min ◀────────┘ └─ the same again:      └─ the same again: answered,
//!             forgotten             the ACK answers it      and not sent; for 2 min
//! ```
//!
//! Every request has its one answer all the same, and what is not sent again is
//! what Ably would drop: it knows a message id for about two minutes. A NACK that
//! is late says nothing of the repetition.
//!
//! Holds 16 384 names at most, 2 MiB; the oldest are forgotten first. Nothing is
//! held, nor looked for, while everything is answered in time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use uuid::Uuid;

use crate::protocol::ably::publish::Messages;
use crate::protocol::id::named;

/// How long a repetition is recognised: as long as Ably does.
const KNOWN: Duration = Duration::from_secs(120);

/// Names that are held.
const NAMES_MAX: usize = 16 * 1024;

/// Tells these names from others.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d1f_0a52_93c7_5e84_b02e_4f6a_c81d_7935);

/// What is known of one that was given up.
#[derive(Debug)]
struct GivenUp {
    until: Instant,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    /// Not acknowledged; the order of the latest repetition, if there is one.
    Open {
        again: Option<u64>,
    },
    Accepted,
}

/// What whoever asks for something again has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing: it is to be sent.
    Unknown,
    /// It is published.
    Accepted,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Late {
    given_up: HashMap<Uuid, GivenUp>,
    /// When each was given up so long ago that it is forgotten; who was given up
    /// again has several.
    ends: VecDeque<(Instant, Uuid)>,
}

impl Late {
    /// Whether there is nothing to look for.
    pub(super) fn is_idle(&self) -> bool {
        self.given_up.is_empty()
    }

    /// This was sent, and whoever asked stops waiting.
    pub(super) fn give_up(&mut self, channel: &str, messages: &Messages, now: Instant) {
        let (name, until) = (name(channel, messages), now + KNOWN);
        let fate = Fate::Open { again: None };
        let given_up = GivenUp { until, fate };
        let known = self.given_up.entry(name).or_insert(given_up);
        known.until = until;
        self.ends.push_back((until, name));
        while NAMES_MAX < self.ends.len() {
            self.forget_first();
        }
    }

    /// This is asked for; it goes by `order` if it is to be sent.
    pub(super) fn ask(&mut self, channel: &str, messages: &Messages, order: u64) -> Again {
        match self.given_up.get_mut(&name(channel, messages)) {
            None => Again::Unknown,
            Some(given_up) => match &mut given_up.fate {
                Fate::Accepted => Again::Accepted,
                Fate::Open { again } => {
                    *again = Some(order);
                    Again::Unknown
                }
            },
        }
    }

    /// The server accepted this, which nobody awaits. Returns the order of what
    /// is answered by that.
    pub(super) fn accept(&mut self, channel: &str, messages: &Messages) -> Option<u64> {
        let given_up = self.given_up.get_mut(&name(channel, messages))?;
        match std::mem::replace(&mut given_up.fate, Fate::Accepted) {
            Fate::Open { again } => again,
            Fate::Accepted => None,
        }
    }

    /// Forgets what was given up long ago.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|until| until <= now) {
            self.forget_first();
        }
    }

    /// When there is something to forget.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ends.front().map(|(until, _)| *until)
    }

    fn forget_first(&mut self) {
        let Some((until, name)) = self.ends.pop_front() else {
            return;
        };
        let is_last = self.given_up.get(&name).is_some_and(|of| of.until == until);
        if is_last {
            self.given_up.remove(&name);
        }
        if self.ends.is_empty() {
            *self = Self::default();
        }
    }
}

/// The same for the same, and for nothing else.
fn name(channel: &str, messages: &Messages) -> Uuid {
    let len = channel.len().to_le_bytes();
    named(&NAMESPACE, &[&len, channel.as_bytes(), messages.encoded()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ably::codec::Format;
    use crate::protocol::ably::publish::Draft;

    fn message(id: &str) -> Messages {
        let draft = Draft {
            id,
            name: "e",
            payload_b64: "aGk=",
            ..Draft::default()
        };
        Messages::encode(Format::Msgpack, [draft]).expect("base64")
    }

    #[test]
    fn what_is_accepted_late_is_known_for_two_minutes_from_when_it_was_given_up_last() {
        let (mut late, begun, a) = (Late::default(), Instant::now(), message("a"));
        late.give_up("c", &a, begun);
        assert_eq!(late.accept("c", &a), None);
        let again = begun + Duration::from_secs(100);
        late.give_up("c", &a, again);
        late.handle_timeout(begun + KNOWN);
        assert_eq!(late.ask("c", &a, 2), Again::Accepted);
        assert_eq!(late.poll_timeout(), Some(again + KNOWN));
        late.handle_timeout(again + KNOWN);
        assert_eq!(late.ask("c", &a, 4), Again::Unknown);
        assert!(late.is_idle());
        assert_eq!(late.poll_timeout(), None);
    }

    #[test]
    fn neither_another_channel_nor_another_id_is_the_same() {
        let (mut late, now) = (Late::default(), Instant::now());
        late.give_up("c", &message("a"), now);
        assert_eq!(late.accept("d", &message("a")), None);
        assert_eq!(late.accept("c", &message("b")), None);
        assert_eq!(late.ask("c", &message("a"), 2), Again::Unknown);
        assert_eq!(late.accept("c", &message("a")), Some(2));
        assert_eq!(late.ask("d", &message("a"), 4), Again::Unknown);
        assert_eq!(late.ask("c", &message("b"), 6), Again::Unknown);
    }

    #[test]
    fn of_what_is_given_up_without_end_the_first_is_forgotten() {
        let (mut late, now) = (Late::default(), Instant::now());
        for n in 0..=NAMES_MAX {
            late.give_up("c", &message(&n.to_string()), now);
        }
        assert_eq!(late.given_up.len(), NAMES_MAX);
        assert_eq!(late.accept("c", &message("0")), None);
        assert_eq!(late.ask("c", &message("0"), 2), Again::Unknown);
        late.accept("c", &message("1"));
        assert_eq!(late.ask("c", &message("1"), 4), Again::Accepted);
    }
}
