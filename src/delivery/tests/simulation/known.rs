//! What Falco knows to be published, and so must not send again.
//!
//! A life knows what it read an acceptance of, while somebody waited for that.
//! The next lives know what was noted: in a memo that holds all, at once; with
//! an outbox, what its journal has on stable storage. A death costs what was not
//! noted by then, and nothing else; a stop in peace costs nothing that is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::protocol::id::EffectId;

/// How long a journal tells the next lives of what was published: what comes
/// again after that is taken for new.
pub(super) const HORIZON: Time = 20 * SECOND;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What this life knows, and since when; and whether it is noted somewhere.
    now: BTreeMap<Message, (Time, bool)>,
    /// What every life to come knows, and since when.
    noted: BTreeMap<Message, Time>,
    /// What was accepted after it was given up: a memo has the ids, for the
    /// lives to come.
    late: BTreeSet<EffectId>,
    /// The same, of this life.
    late_now: BTreeSet<EffectId>,
}

impl Known {
    /// These are published; `is_noted` says whether more than this life is to
    /// know it, sooner or later.
    pub(super) fn published(&mut self, messages: &[Message], now: Time, is_noted: bool) {
        for message in messages {
            self.now.insert(*message, (now, is_noted));
        }
    }

    /// An acceptance came too late for anybody; a memo has noted it.
    pub(super) fn published_late(&mut self, ids: &[EffectId]) {
        self.late_now.extend(ids);
    }

    /// All that is to be noted is.
    pub(super) fn all_is_noted(&mut self) {
        let noted = self.now.iter().filter(|(_, (_, is_noted))| *is_noted);
        self.noted
            .extend(noted.map(|(message, (at, _))| (*message, *at)));
    }

    /// Of these, nothing was noted.
    pub(super) fn forget(&mut self, messages: &[Message], ids: &[EffectId]) {
        for message in messages {
            self.now.remove(message);
            self.noted.remove(message);
        }
        self.late_now.retain(|id| !ids.contains(id));
    }

    /// A life is over; what only it knew, nobody does.
    pub(super) fn end_life(&mut self) {
        self.now.clear();
        self.late.append(&mut self.late_now);
    }

    /// A message comes again. A journal may have forgotten what it noted in an
    /// earlier life; returns whether.
    pub(super) fn comes_again(&mut self, message: Message, now: Time) -> bool {
        let is_old = |at: &Time| HORIZON <= now - at;
        let is_forgotten =
            !self.now.contains_key(&message) && self.noted.get(&message).is_some_and(is_old);
        if is_forgotten {
            self.noted.remove(&message);
        }
        is_forgotten
    }

    /// Whether every life to come knows of this.
    pub(super) fn is_noted(&self, message: Message) -> bool {
        self.noted.contains_key(&message)
    }

    /// What goes out is not known to be published.
    pub(super) fn check(&self, messages: &[Message], ids: &[EffectId]) {
        for message in messages {
            let known = self.now.contains_key(message) || self.noted.contains_key(message);
            assert!(!known, "{message:?} goes out and is known to be published");
        }
        let late = ids.iter().find(|id| self.late.contains(id));
        assert_eq!(
            late, None,
            "goes out, though an earlier life noted its acceptance"
        );
    }
}
