//! What the journal is given, and when.
//!
//! Effects and everything else are appended apart: the one may be refused while
//! the other is not.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::super::super::memo::Published;
use super::batch::{Given, Pending, What};
use super::{Keeper, Waiter, parking};
use crate::clock::{self, BootTime};
use crate::delivery::{Admission, Class, Failure, Settled, shortened};
use crate::journal::{DeadLetter, Entry, Health, Journal, Receipt, TryAppendError, Unrecorded};
use crate::memory;
use crate::protocol::id::EffectId;

/// A backlog of so many takes memory worth giving back.
pub(super) const LARGE: usize = 20_000;

/// Dead letters that are written again in one append, and after what pause: all
/// of them together may be what the disk does not take.
const LETTERS_AGAIN: usize = 64;
pub(super) const LETTERS_PAUSE: Duration = Duration::from_secs(1);

/// What is kept of why an effect is a dead letter, in bytes: there may be as many of
/// them as the journal has room for.
pub(super) const REASON_BYTES_MAX: usize = 512;

impl Keeper {
    /// The kept effect that was settled, if that is because it is published.
    pub(in super::super) fn published(&self, settled: &Settled<Waiter>) -> Option<Published> {
        let kept = self.outbox.kept(settled.id);
        let published = kept.filter(|_| settled.outcome.is_ok())?;
        Some(Published {
            id: published.id,
            arrived_ms: published.arrived_ms,
        })
    }

    /// The lanes are done with a kept effect.
    pub(in super::super) fn handle_settled<T>(
        &mut self,
        settled: &Settled<Waiter>,
        admission: &mut Admission<T>,
    ) {
        let id = settled.id;
        match &settled.outcome {
            Ok(()) => {
                self.published += 1;
                let done = self.outbox.handle_published(id);
                if let Some(done) = &done {
                    admission.handle_done_elsewhere(done, BootTime::now());
                }
                let done = done.map_or_else(|| id.into(), Into::into);
                self.batch.add_done(done);
                self.give_back();
            }
            Err(failure) if failure.class == Class::ShuttingDown => {}
            // It waits on disk: a parked lane holds no payload in memory.
            Err(failure) if failure.class == Class::Parked => {
                self.outbox.handle_returned(id, None);
            }
            Err(failure) => self.bury(id, failure, settled.attempts, settled.parks),
        }
    }

    /// What a large backlog took in memory is not needed after it.
    pub(super) fn give_back(&mut self) {
        let len = self.outbox.len();
        self.was_large |= LARGE < len;
        if self.was_large && len < LARGE / 10 {
            self.was_large = false;
            memory::give_back();
        }
    }

    /// Makes a dead letter of an effect, for which its lane waits if it `parks`.
    ///
    /// The outbox alone knows it, as it did before: nobody has to be told.
    pub(super) fn bury(&mut self, id: EffectId, failure: &Failure, attempts: u32, parks: bool) {
        if !self.outbox.handle_dead(id) {
            return;
        }
        if parks {
            self.park(id, failure);
        }
        let letter = DeadLetter {
            class: parking::class_of(failure.class, parks),
            code: failure.code,
            error: shortened(&failure.text, REASON_BYTES_MAX).into(),
            attempts,
            at_ms: clock::now_ms(),
        };
        warn!(effect_id = %id, attempts, error = %failure, "An effect became a dead letter.");
        self.died += 1;
        self.letters.insert(id, letter);
        self.write_letter(id);
    }

    fn write_letter(&mut self, id: EffectId) {
        if let Some(letter) = self.letters.get(&id) {
            self.batch.rest.push(Entry::Failed(id, letter.clone()));
            self.batch.buried.push(id);
        }
    }

    /// Has the journal write what has come together.
    pub(in super::super) fn write(&mut self, now: Instant, is_stopping: bool) {
        let Some(journal) = self.stage.journal().cloned() else {
            return;
        };
        self.write_letters_again(now);
        let is_done_due = self.batch.is_due(now) || is_stopping && !self.batch.done.is_empty();
        if is_done_due || !self.batch.rest.is_empty() {
            self.write_rest(&journal);
        }
        // In this order: an id may be settled here and come again there.
        if !self.batch.effects.is_empty() && self.batch.rest.is_empty() {
            self.write_effects(&journal);
        }
    }

    /// Dead letters the disk refused, once it refuses nothing any more; in pieces,
    /// one after the other.
    fn write_letters_again(&mut self, now: Instant) {
        use Health::{Degraded, Full, Ok};
        self.letters_again_at = self.letters_again_at.filter(|at| now < *at);
        let can_write = matches!(self.stage.health(), Some(Ok | Degraded { .. } | Full));
        let waits = self.letters_again_at.is_some() || self.pending.iter().any(Pending::buries);
        if !can_write || waits || self.unwritten.is_empty() {
            return;
        }
        // Behind a wish that is granted it would undo it.
        let decided = |id: &&EffectId| !self.outbox.is_undecided(**id);
        let some = self.unwritten.iter().filter(decided).take(LETTERS_AGAIN);
        for id in some.copied().collect::<Vec<_>>() {
            self.unwritten.remove(&id);
            self.write_letter(id);
        }
    }

    /// Has the journal write at once what is done.
    pub(super) fn write_done(&mut self, journal: &Journal) {
        if !self.batch.done.is_empty() {
            self.write_rest(journal);
        }
    }

    fn write_rest(&mut self, journal: &Journal) {
        let mut entries = std::mem::take(&mut self.batch.rest);
        let done = std::mem::take(&mut self.batch.done);
        self.batch.done_due = None;
        if !done.is_empty() {
            entries.push(Entry::Done(done));
        }
        match journal.try_append(entries) {
            Ok(receipt) => {
                let asked = std::mem::take(&mut self.batch.asked);
                let buried = std::mem::take(&mut self.batch.buried);
                let what = What::Rest { asked, buried };
                self.give(receipt, what);
            }
            Err(TryAppendError::Full(entries)) => self.batch.rest = entries,
            // Its health says so too, and that ends Falco.
            Err(TryAppendError::Closed(_)) => {
                error!("The journal has ended; what was published may be published once more.");
                for asked in std::mem::take(&mut self.batch.asked) {
                    self.decide(asked, &Err(Unrecorded::Closed));
                }
            }
        }
    }

    fn write_effects(&mut self, journal: &Journal) {
        let entries = std::mem::take(&mut self.batch.effects);
        let round = self.round;
        match journal.try_append_in(round, entries) {
            Ok(receipt) => {
                let fresh = std::mem::take(&mut self.batch.fresh);
                let noted = std::mem::take(&mut self.batch.noted);
                let what = What::Effects {
                    round,
                    fresh,
                    unsure: Vec::new(),
                    noted,
                };
                self.give(receipt, what);
            }
            Err(TryAppendError::Full(entries)) => self.batch.effects = entries,
            Err(TryAppendError::Closed(_)) => {
                error!("The journal has ended; effects that it had not recorded are not acked.");
                self.batch.fresh.clear();
                self.batch.noted.clear();
            }
        }
    }

    fn give(&mut self, receipt: Receipt, what: What) {
        self.pending.push_back(Pending {
            receipt,
            given: Given::now(),
            what,
        });
    }
}
