//! What goes out, in the order in which it came: also where a daemon does nothing
//! for it.
//!
//! Knows what came over the first connection of a session in a life without an
//! outbox; over another, what comes again may be on its way already, in the order of
//! before.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use super::*;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Sessions that had another connection.
    unknown: BTreeSet<u8>,
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

    /// A session has another connection.
    pub(super) fn ends(&mut self, session: u8) {
        self.unknown.insert(session);
    }

    pub(super) fn answered(&mut self, message: Message) {
        self.waiting.remove(&message);
    }

    /// A request goes out.
    pub(super) fn goes_out(&mut self, messages: &[Message]) {
        for (at, message) in messages.iter().enumerate() {
            let (session, _) = message;
            if self.unknown.contains(session) {
                continue;
            }
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
