//! What became of publishes.

use std::time::Instant;

use super::{KEPT_CAPACITY, Outbox, Outcome, position};
use crate::protocol::ably::error::ErrorInfo;

impl<T> Outbox<T> {
    /// ACK or NACK of `count` publishes from `serial` on.
    ///
    /// What lies before `serial` and is still unanswered was skipped, which
    /// refuses it; what was answered before is ignored.
    pub(in crate::ably) fn acknowledge(&mut self, serial: u64, count: u64, outcome: &Outcome) {
        let end = serial.saturating_add(count);
        let skipped = Outcome::Refused(ErrorInfo::new(
            50_000,
            "the server acknowledged later publishes but not this one",
        ));
        while self.acknowledgeable > 0 && self.first_serial < end {
            let outcome = if self.first_serial < serial {
                &skipped
            } else {
                outcome
            };
            self.settle_first(outcome);
        }
        self.forget_settled_deadlines();
        self.give_back_memory();
    }

    /// After a burst, the room it took is worth more to others.
    pub(super) fn give_back_memory(&mut self) {
        for entries in [&mut self.waiting, &mut self.sent] {
            if entries.is_empty() && entries.capacity() > KEPT_CAPACITY {
                entries.shrink_to(KEPT_CAPACITY);
            }
        }
    }

    fn settle_first(&mut self, outcome: &Outcome) {
        let Some(entry) = self.sent.pop_front() else {
            return;
        };
        self.first_serial += 1;
        self.written = self.written.saturating_sub(1);
        self.acknowledgeable -= 1;
        self.bytes -= entry.messages.encoded_len();
        if let Some(tag) = entry.tag {
            self.settled.push_back((tag, outcome.clone()));
        } else if *outcome == Outcome::Accepted && !self.late.is_idle() {
            let again = self.late.accept(&entry.channel, &entry.messages);
            let spared = again.and_then(|order| self.spare(order));
            self.settled.extend(spared);
        }
    }

    /// What goes by this order is published already: if it waits it is not sent,
    /// and if it is awaited that is over.
    fn spare(&mut self, order: u64) -> Option<(T, Outcome)> {
        let tag = if let Some(at) = position(&self.waiting, order) {
            let entry = self.waiting.remove(at)?;
            self.bytes -= entry.messages.encoded_len();
            entry.tag
        } else {
            let at = position(&self.sent, order)?;
            self.sent[at].tag.take()
        };
        tag.map(|tag| (tag, Outcome::Accepted))
    }

    /// Gives up on everything: sent ones are unknown, waiting ones not sent.
    pub(in crate::ably) fn fail_all(&mut self, reason: &ErrorInfo) {
        // Their serials are used up: a resumed connection counts on.
        self.first_serial += self.sent.len() as u64;
        for entry in self.sent.drain(..) {
            if let Some(tag) = entry.tag {
                let outcome = Outcome::Unknown(reason.clone());
                self.settled.push_back((tag, outcome));
            }
        }
        let urgent = self.urgent.take().map(|urgent| urgent.tag);
        let waiting = self.waiting.drain(..).filter_map(|entry| entry.tag);
        for tag in urgent.into_iter().chain(waiting) {
            let outcome = Outcome::NotSent(reason.clone());
            self.settled.push_back((tag, outcome));
        }
        (self.written, self.acknowledgeable, self.bytes) = (0, 0, 0);
        self.deadlines.clear();
    }

    /// Refuses the first waiting publish, which would now be sent.
    pub(in crate::ably) fn refuse_next(&mut self, reason: ErrorInfo) {
        let Some(entry) = self.waiting.pop_front() else {
            return;
        };
        self.bytes -= entry.messages.encoded_len();
        if let Some(tag) = entry.tag {
            self.settled.push_back((tag, Outcome::Refused(reason)));
        }
        self.forget_settled_deadlines();
    }

    /// Settles every publish whose requester has stopped waiting; `reason`
    /// says why it took so long.
    pub(in crate::ably) fn expire(&mut self, now: Instant, reason: impl Fn(bool) -> ErrorInfo) {
        while let Some(order) = self.deadlines.pop_due(now) {
            if let Some(at) = position(&self.waiting, order) {
                if let Some(entry) = self.waiting.remove(at) {
                    self.bytes -= entry.messages.encoded_len();
                    let outcome = Outcome::NotSent(reason(false));
                    self.settled.extend(entry.tag.map(|tag| (tag, outcome)));
                }
            } else if let Some(at) = position(&self.sent, order) {
                let entry = &mut self.sent[at];
                let Some(tag) = entry.tag.take() else {
                    continue;
                };
                self.late.give_up(&entry.channel, &entry.messages, now);
                let outcome = Outcome::Unknown(reason(true));
                self.settled.push_back((tag, outcome));
            }
        }
        self.late.handle_timeout(now);
    }

    pub(in crate::ably) fn poll_settled(&mut self) -> Option<(T, Outcome)> {
        self.settled.pop_front()
    }

    /// Keeps the deadlines about as many as the publishes they belong to.
    pub(super) fn forget_settled_deadlines(&mut self) {
        let (waiting, sent) = (&self.waiting, &self.sent);
        let is_open = |order| {
            position(waiting, order).is_some()
                || position(sent, order).is_some_and(|at| sent[at].tag.is_some())
        };
        self.deadlines.prune(waiting.len() + sent.len(), is_open);
    }
}
