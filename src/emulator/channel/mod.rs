//! One channel: what was published, who receives it, who is present.
//!
//! Owns the order of the channel: every protocol message gets the next
//! [`Position`] and becomes one [`Entry`] of the log. A subscriber is a cursor
//! on that log, so fan-out copies nothing and a slow subscriber holds nothing:
//! when the log has moved past its cursor, it has lost continuity and is told.
//!
//! Pure: sessions drive it and pass the time in.
//!
//! ```text
//! append ─▶ [e5][e6][e7][e8]        log; e1..e4 are gone, floor = e4
//!                ▲        ▲
//!                a        b         a will get e6.., b is up to date
//! ```

mod subscriber;

use bytes::Bytes;
use std::collections::HashMap;

use crate::protocol::ably::codec::Format;
use crate::protocol::ably::message::{ProtocolMessage, flags};

use super::log::{Entry, Kind, Log};
use super::objects::RootMap;
use super::presence::Members;
use super::serial::{Position, Series};

use subscriber::Subscriber;
pub(super) use subscriber::{Attach, Attached, From, Pulled};

/// A websocket connection; a resumed connection has a new session.
pub(super) type SessionId = u64;

/// Which positions a channel has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    /// Everything up to here may be gone.
    pub(super) floor: Position,
    /// The newest position given out.
    pub(super) last: Position,
}

#[derive(Debug)]
pub(super) struct Channel {
    log: Log,
    extent: Extent,
    subscribers: HashMap<SessionId, Subscriber>,
    /// Bytes that entries have grown by, not yet asked for.
    growth: usize,
    pub(super) members: Members,
    pub(super) root: RootMap,
}

impl Channel {
    /// An empty channel that goes on from `extent`.
    pub(super) fn new(extent: Extent) -> Self {
        Self {
            log: Log::default(),
            extent,
            subscribers: HashMap::new(),
            growth: 0,
            members: Members::default(),
            root: RootMap::default(),
        }
    }

    /// The position of what happens next.
    pub(super) fn advance(&mut self, now_ms: i64) -> Position {
        self.extent.last = self.extent.last.next(now_ms);
        self.extent.last
    }

    /// The newest position.
    pub(super) fn last(&self) -> Position {
        self.extent.last
    }

    /// What must be known of the channel once it is forgotten.
    pub(super) fn extent(&self) -> Extent {
        self.extent
    }

    /// The position up to which `session` has been sent everything.
    pub(super) fn delivered(&self, session: SessionId) -> Option<Position> {
        let next = self.subscribers.get(&session)?.next;
        if next == self.log.end() {
            return Some(self.extent.last);
        }
        let before = next.checked_sub(1).and_then(|number| self.log.get(number));
        Some(before.map_or(self.extent.floor, |entry| entry.position))
    }

    /// Adds `entry`, whose position came from [`Self::advance`]; returns its
    /// number. [`Self::wake`] says who must hear of it.
    pub(super) fn append(&mut self, entry: Entry) -> u64 {
        self.log.push(entry)
    }

    /// Sessions that were up to date and now are not, each once.
    pub(super) fn wake(&mut self) -> impl Iterator<Item = SessionId> {
        let asleep = self.subscribers.iter_mut().filter(|(_, s)| !s.is_awake);
        asleep.map(|(id, subscriber)| {
            subscriber.is_awake = true;
            *id
        })
    }

    /// Begins an attachment of `session`, or begins it anew.
    pub(super) fn attach(&mut self, session: SessionId, attach: Attach, now_ms: i64) -> Attached {
        let (next, skip, is_resumed) = self.cursor(attach.from);
        let position = match attach.from {
            From::Serial(Some(position)) if is_resumed => position,
            _ => self.advance(now_ms),
        };
        let live_from = self.log.end();
        let subscriber = Subscriber {
            next,
            live_from,
            skip,
            modes: attach.modes,
            muted: attach.muted,
            is_awake: true,
        };
        self.subscribers.insert(session, subscriber);
        let has_backlog = next < live_from && attach.modes & flags::SUBSCRIBE != 0;
        Attached {
            position,
            is_resumed,
            has_backlog,
        }
    }

    /// First entry, messages of it to skip, and whether that is continuous.
    fn cursor(&self, from: From) -> (u64, usize, bool) {
        let end = self.log.end();
        match from {
            From::Serial(Some(position)) if self.extent.floor <= position => {
                (self.log.number_after(position), 0, true)
            }
            // All that is left is newer than what the client saw last: a serial
            // that is not ours is of an earlier run.
            From::Serial(_) => (self.log.first(), 0, false),
            From::Now | From::LastMessages(0) => (end, 0, false),
            From::LastMessages(count) => {
                let (next, skip) = self.back(count);
                (next, skip, false)
            }
            From::Since(ms) => {
                let older = self
                    .log
                    .iter()
                    .take_while(|(_, entry)| entry.timestamp < ms)
                    .count();
                (self.log.first() + older as u64, 0, false)
            }
        }
    }

    /// The entry in which the last `count` messages begin.
    fn back(&self, count: usize) -> (u64, usize) {
        let mut found = 0;
        for (number, entry) in self
            .log
            .iter()
            .rev()
            .filter(|(_, e)| e.kind == Kind::Message)
        {
            found += entry.count;
            if count <= found {
                return (number, found - count);
            }
        }
        (self.log.first(), 0)
    }

    /// Changes the modes of an attachment; `false` when there is none.
    pub(super) fn set_modes(&mut self, session: SessionId, modes: u64) -> bool {
        match self.subscribers.get_mut(&session) {
            Some(subscriber) => {
                subscriber.modes = modes;
                true
            }
            None => false,
        }
    }

    /// Ends the attachment of `session`.
    pub(super) fn detach(&mut self, session: SessionId) {
        self.subscribers.remove(&session);
    }

    /// Appends to `out` the frames that `session` has not had, until it has
    /// all of them or `budget` bytes are used up.
    pub(super) fn pull(
        &mut self,
        session: SessionId,
        format: Format,
        budget: &mut usize,
        out: &mut Vec<Bytes>,
    ) -> Pulled {
        let Some(subscriber) = self.subscribers.get_mut(&session) else {
            return Pulled::Everything;
        };
        if subscriber.next < self.log.first() {
            subscriber.next = self.log.end();
            subscriber.is_awake = false;
            return Pulled::Lost(self.extent.last);
        }
        while let Some(entry) = self.log.get_mut(subscriber.next) {
            if *budget == 0 {
                return Pulled::More;
            }
            // It is about the first entry, also when that one is not wanted.
            let skip = std::mem::take(&mut subscriber.skip);
            if subscriber.wants(entry) {
                let before = entry.bytes();
                let frame = match skip {
                    0 => entry.frame(format),
                    skip => entry.frame_without(skip, format),
                };
                self.growth += entry.bytes() - before;
                *budget = budget.saturating_sub(frame.len());
                out.push(frame);
            }
            subscriber.next += 1;
        }
        subscriber.is_awake = false;
        Pulled::Everything
    }

    /// Bytes that entries have grown by since last asked: a frame is also kept
    /// as JSON once somebody reads JSON.
    pub(super) fn take_growth(&mut self) -> usize {
        std::mem::take(&mut self.growth)
    }

    /// Drops the oldest entry if it has this number; returns its bytes.
    pub(super) fn drop_oldest(&mut self, number: u64) -> usize {
        if self.log.first() != number {
            return 0;
        }
        let Some(entry) = self.log.pop() else {
            return 0;
        };
        self.extent.floor = entry.position;
        entry.bytes()
    }

    /// Drops the oldest entries until `count` are left; returns their bytes.
    pub(super) fn shorten_to(&mut self, count: usize) -> usize {
        let mut bytes = 0;
        while count < self.log.len() {
            bytes += self.drop_oldest(self.log.first());
        }
        bytes
    }

    /// The number of the oldest entry.
    pub(super) fn first_number(&self) -> u64 {
        self.log.first()
    }

    /// The past, oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.log.iter().map(|(_, entry)| entry)
    }

    /// Whether nothing would be lost by forgetting the channel.
    pub(super) fn is_forgettable(&self) -> bool {
        let is_quiet = self.log.is_empty() && self.subscribers.is_empty();
        is_quiet && self.members.is_empty() && self.root.is_empty()
    }

    /// Whether anyone is attached, or present, or has just published.
    pub(super) fn is_active(&self) -> bool {
        !self.is_forgettable()
    }

    /// Attachments whose modes have any of these bits.
    pub(super) fn count_with(&self, modes: u64) -> usize {
        self.subscribers
            .values()
            .filter(|s| s.modes & modes != 0)
            .count()
    }

    /// Attachments.
    pub(super) fn count_all(&self) -> usize {
        self.subscribers.len()
    }
}

/// Gives every message of `message` its serial and what readers cannot derive.
pub(super) fn number_messages(message: &mut ProtocolMessage, series: &Series, position: Position) {
    message.channel_serial = Some(series.channel_serial(position));
    for (index, item) in message.messages.iter_mut().enumerate() {
        item.serial = Some(series.message_serial(position, index));
        item.action = Some(0);
    }
}

#[cfg(test)]
mod tests;
