//! What goes out, in the order in which it came: also where a daemon does nothing
//! for it.
//!
//! Knows what came over the first connection of a life without an outbox; behind
//! another, what comes again may be on its way already, in the order of before.

use std::collections::btree_map::Entry;

use super::*;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// There was another connection.
    is_unknown: bool,
    /// When each message came first.
    first: BTreeMap<Message, u32>,
    /// Those of them that were not answered since.
    waiting: BTreeMap<Message, u32>,
    /// What went out, and what that has overtaken unless it has its answer by now.
    overtaken: Vec<(Message, Message)>,
}

impl Order {
    pub(super) fn came(&mut self, submission: Submission) {
        let Submission {
            message, attempt, ..
        } = submission;
        // What was answered comes where it was before, or behind all others.
        if let Entry::Vacant(first) = self.first.entry(message) {
            first.insert(attempt);
            self.waiting.insert(message, attempt);
        }
    }

    /// A connection is closed.
    pub(super) fn ends(&mut self) {
        self.is_unknown = true;
    }

    pub(super) fn answered(&mut self, message: Message) {
        self.waiting.remove(&message);
    }

    /// A request goes out.
    pub(super) fn goes_out(&mut self, messages: &[Message]) {
        if self.is_unknown {
            return;
        }
        for (at, message) in messages.iter().enumerate() {
            let (session, _) = message;
            let came = self.first[message];
            let waiting = self.waiting.range((*session, 0)..=(*session, u32::MAX));
            let before = waiting.filter(|(_, before)| **before < came);
            let others = before.filter(|(other, _)| !messages[..at].contains(other));
            let overtaken = others.map(|(other, _)| (*message, *other));
            self.overtaken.extend(overtaken);
        }
    }

    /// All that was decided before is told.
    pub(super) fn check(&mut self) {
        for (message, other) in self.overtaken.drain(..) {
            let waits = self.waiting.contains_key(&other);
            assert!(!waits, "{message:?} overtakes {other:?}");
        }
    }
}
