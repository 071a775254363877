//! One attachment of a channel: where it begins, what it wants, where it is.

use std::sync::Arc;

use crate::emulator::log::{Entry, Kind};
use crate::emulator::serial::Position;
use crate::protocol::ably::message::flags;

/// How an attachment begins.
#[derive(Debug)]
pub(in crate::emulator) struct Attach {
    pub(in crate::emulator) modes: u64,
    /// The connection whose messages are not echoed.
    pub(in crate::emulator) muted: Option<Arc<str>>,
    pub(in crate::emulator) from: From,
}

/// Where an attachment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum From {
    /// With what comes next.
    Now,
    /// After what the client saw last; `None` is a serial that is not ours.
    /// If something after it is gone, with the oldest that is left.
    Serial(Option<Position>),
    /// With the last so many messages.
    LastMessages(usize),
    /// With the messages since that time.
    Since(i64),
}

/// How an attachment began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) struct Attached {
    pub(in crate::emulator) position: Position,
    /// Nothing was missed since the serial the client gave.
    pub(in crate::emulator) is_resumed: bool,
    /// Past messages follow.
    pub(in crate::emulator) has_backlog: bool,
}

/// What [`Channel::pull`](super::Channel::pull) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Pulled {
    /// The session is not subscribed, or has everything.
    Everything,
    /// There is more, over the budget.
    More,
    /// Entries were dropped before the subscriber got them; it goes on with
    /// what comes after this position.
    Lost(Position),
}

/// One attachment.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// Number of the next entry to look at.
    pub(super) next: u64,
    /// Older entries are a replay: only messages count, SYNC gave the rest.
    pub(super) live_from: u64,
    /// Messages of the first entry that are not wanted (rewind).
    pub(super) skip: usize,
    pub(super) modes: u64,
    /// The connection whose messages are not echoed.
    pub(super) muted: Option<Arc<str>>,
    /// Whether its session knows that there is something to pull.
    pub(super) is_awake: bool,
}

impl Subscriber {
    /// Whether an entry is for it.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let is_live = self.live_from <= self.next;
        match entry.kind {
            Kind::Message => {
                let is_muted = self.muted.is_some() && self.muted == entry.publisher;
                self.modes & flags::SUBSCRIBE != 0 && !is_muted
            }
            Kind::Presence => is_live && self.modes & flags::PRESENCE_SUBSCRIBE != 0,
            Kind::Object => is_live && self.modes & flags::OBJECT_SUBSCRIBE != 0,
        }
    }
}
