//! The publishing half: what waits, what was sent, and what each publish came to.
//!
//! ```text
//!          push               next (gate open)              acknowledge
//! request ─────▶ waiting ───────────────────────▶ sent ───────────────▶ settled
//!                   │ deadline                     │ ▲
//!                   ▼                     deadline │ └─ reopen: written again, in order,
//!               settled, never sent                ▼    once per transport
//!                                        settled, but kept: its serial is taken,
//!                                        and its ACK may answer a repetition
//! ```
//!
//! Who is told that nobody knows mostly asks once more; see [`late`](super::late).
//!
//! One urgent publish may wait beside the others and goes before them.
//!
//! Serials are a window: the oldest unacknowledged publish has `first_serial`,
//! the others count up from it. So an ACK of hundreds is a few pops, and
//! renumbering after a failed resume (RTN19a2) is one assignment.

mod settling;

use std::collections::VecDeque;
use std::time::Instant;

use super::deadlines::Deadlines;
use super::late::{Again, Late};
use super::rate::Rate;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::publish::Messages;

/// Publishes sent and not yet acknowledged; beyond it nothing more is sent.
const SENT_MAX: usize = 16 * 1024;

/// Publishes waiting to be sent; at it [`Outbox::has_room`] is false.
const WAITING_MAX: usize = 64 * 1024;

/// Encoded bytes of all publishes held, waiting and sent; at it
/// [`Outbox::has_room`] is false.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Places for publishes that are kept when there are none.
const KEPT_CAPACITY: usize = 256;

/// Protocol messages a second that no Ably connection may exceed (42924 ends
/// it at about twice this), unless its message rate is higher still. Also the
/// message rate towards a server that names none.
const PROTOCOL_MESSAGES_PER_SECOND: u32 = 1000;

/// One MESSAGE to be, and whom to tell.
#[derive(Debug)]
pub(crate) struct Publish<T> {
    pub(crate) channel: Box<str>,
    pub(crate) messages: Messages,
    /// When whoever asked stops waiting.
    pub(crate) deadline: Instant,
    /// Comes back with the outcome.
    pub(crate) tag: T,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server accepted it.
    Accepted,
    /// The server refused it, or skipped it: it is not published.
    Refused(ErrorInfo),
    /// It was never written to any transport, and will not be.
    NotSent(ErrorInfo),
    /// It was written, but no answer came: it may or may not be published.
    Unknown(ErrorInfo),
}

/// A publish to write now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) msg_serial: u64,
    pub(crate) channel: &'a str,
    pub(crate) messages: &'a Messages,
}

#[derive(Debug)]
struct Entry<T> {
    /// Counts pushes by two; finds an entry from its deadline. Urgent ones
    /// have no deadline here and go by the odd number after the last sent.
    order: u64,
    channel: Box<str>,
    messages: Messages,
    /// `None` once whoever asked has been told.
    tag: Option<T>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    waiting: VecDeque<Entry<T>>,
    /// Goes before all that waits.
    urgent: Option<Publish<T>>,
    sent: VecDeque<Entry<T>>,
    /// The order of the last waiting one that was sent.
    last_sent: u64,
    /// The serial of `sent[0]`.
    first_serial: u64,
    /// How many of `sent` were written to the present transport.
    written: usize,
    /// How many of `sent` the server may have under their present serials.
    acknowledgeable: usize,
    pushed: u64,
    bytes: usize,
    deadlines: Deadlines,
    /// Of `sent`, what nobody awaits, and may be asked for again.
    late: Late,
    messages: Rate,
    protocol_messages: Rate,
    paced_until: Option<Instant>,
    settled: VecDeque<(T, Outcome)>,
}

impl<T> Outbox<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            urgent: None,
            sent: VecDeque::new(),
            last_sent: 0,
            first_serial: 0,
            written: 0,
            acknowledgeable: 0,
            pushed: 0,
            bytes: 0,
            deadlines: Deadlines::default(),
            late: Late::default(),
            messages: Rate::new(PROTOCOL_MESSAGES_PER_SECOND),
            protocol_messages: Rate::new(PROTOCOL_MESSAGES_PER_SECOND),
            paced_until: None,
            settled: VecDeque::new(),
        }
    }

    /// Whether another publish should be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sent, unanswered, and still awaited by whoever asked.
    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Queues a publish, unless it is known to be published: then it is settled.
    pub(super) fn push(&mut self, publish: Publish<T>) {
        self.pushed += 2;
        if !self.late.is_idle()
            && let (channel, messages) = (&publish.channel, &publish.messages)
            && self.late.ask(channel, messages, self.pushed) == Again::Accepted
        {
            return self.turn_away(publish.tag, Outcome::Accepted);
        }
        self.bytes += publish.messages.encoded_len();
        self.deadlines.push(publish.deadline, self.pushed);
        self.waiting.push_back(Entry {
            order: self.pushed,
            channel: publish.channel,
            messages: publish.messages,
            tag: Some(publish.tag),
        });
    }

    /// Queues a publish before all others. It takes the place of an urgent one
    /// that still waits, and is not given up on at its deadline: whoever asked
    /// sees to that.
    pub(super) fn push_urgent(&mut self, publish: Publish<T>) {
        self.bytes += publish.messages.encoded_len();
        if let Some(earlier) = self.urgent.replace(publish) {
            self.bytes -= earlier.messages.encoded_len();
            let why = ErrorInfo::new(80_003, "not sent, a later one takes its place");
            self.turn_away(earlier.tag, Outcome::NotSent(why));
        }
    }

    /// Settles a publish that never gets into the queue.
    pub(super) fn turn_away(&mut self, tag: T, outcome: Outcome) {
        self.settled.push_back((tag, outcome));
    }

    /// The server's limits, as CONNECTED names them.
    pub(super) fn set_rate(&mut self, messages_per_second: u32, now: Instant) {
        self.messages.set(messages_per_second, now);
        let protocol = messages_per_second.max(PROTOCOL_MESSAGES_PER_SECOND);
        self.protocol_messages.set(protocol, now);
        self.paced_until = None;
    }

    /// A new transport: everything sent and unanswered is to be written
    /// again, under the same serials if the server `resumed` (RTN19a), else
    /// under new ones from 0 (RTN19a2) and without what nobody awaits.
    pub(super) fn reopen(&mut self, resumed: bool) {
        self.written = 0;
        if resumed {
            return;
        }
        self.first_serial = 0;
        self.acknowledgeable = 0;
        self.sent.retain(|entry| entry.tag.is_some());
        self.bytes = self.bytes_held();
    }

    /// The next publish to write, in request order: resends first.
    pub(super) fn next(&mut self, now: Instant) -> Option<Outgoing<'_>> {
        if self.paced_until.is_some_and(|until| now < until) {
            return None;
        }
        let count = match self.sent.get(self.written) {
            Some(again) => again.messages.count(),
            None if let Some(urgent) = &self.urgent => urgent.messages.count(),
            None if self.sent.len() < SENT_MAX => self.waiting.front()?.messages.count(),
            None => return None,
        };
        if !self.may_send(count, now) {
            return None;
        }
        if self.written == self.sent.len() {
            let entry = self.take_next();
            self.sent.extend(entry);
        }
        let index = self.written;
        self.written += 1;
        self.acknowledgeable = self.acknowledgeable.max(self.written);
        let entry = self.sent.get(index)?;
        Some(Outgoing {
            msg_serial: self.first_serial + index as u64,
            channel: &entry.channel,
            messages: &entry.messages,
        })
    }

    fn take_next(&mut self) -> Option<Entry<T>> {
        if let Some(urgent) = self.urgent.take() {
            return Some(Entry {
                order: self.last_sent + 1,
                channel: urgent.channel,
                messages: urgent.messages,
                tag: Some(urgent.tag),
            });
        }
        let entry = self.waiting.pop_front()?;
        self.last_sent = entry.order;
        Some(entry)
    }

    fn may_send(&mut self, count: u32, now: Instant) -> bool {
        if self.messages.can_spend(count, now) && self.protocol_messages.try_spend(1, now) {
            self.paced_until = None;
            return self.messages.try_spend(count, now);
        }
        let ready = self.messages.ready_at(count, now);
        self.paced_until = Some(ready.max(self.protocol_messages.ready_at(1, now)));
        false
    }

    /// The server counted too much: nothing more for now.
    pub(super) fn slow_down(&mut self, now: Instant) {
        self.messages.exhaust(now);
    }

    /// The waiting publish that is next once resends are written.
    pub(super) fn front(&self) -> Option<(&str, &Messages)> {
        if self.written < self.sent.len() || self.urgent.is_some() {
            return None;
        }
        let entry = self.waiting.front()?;
        Some((&entry.channel, &entry.messages))
    }

    /// When a requester's patience ends, or what was given up is to be forgotten,
    /// or, if the gate is `open`, when pacing lets the next publish go.
    pub(super) fn poll_timeout(&self, open: bool) -> Option<Instant> {
        let has_next =
            self.written < self.sent.len() || self.urgent.is_some() || !self.waiting.is_empty();
        let paced = self.paced_until.filter(|_| open && has_next);
        let all = [self.deadlines.first(), self.late.poll_timeout(), paced];
        all.into_iter().flatten().min()
    }

    fn bytes_held(&self) -> usize {
        let entries = self.sent.iter().chain(&self.waiting);
        let messages = entries.map(|entry| &entry.messages);
        let urgent = self.urgent.iter().map(|urgent| &urgent.messages);
        messages.chain(urgent).map(Messages::encoded_len).sum()
    }
}

fn position<T>(entries: &VecDeque<Entry<T>>, order: u64) -> Option<usize> {
    entries
        .binary_search_by_key(&order, |entry| entry.order)
        .ok()
}

#[cfg(test)]
mod tests;
