//! From what was asked for to the records of a batch.

use tokio::sync::oneshot;

use super::super::super::entry::Entry;
use super::super::super::error::Unrecorded;
use super::super::super::handle::{Appended, Round};
use super::super::super::record::Salt;
use super::super::super::storage::Storage;
use super::super::batch::{Batch, Stamp};
use super::{Core, Job, Mode, Now};
use crate::protocol::id::EffectId;

/// Settled ids that wait for the disk; the oldest go, and cost a duplicate.
const OWED_MAX: usize = 65_536;

/// An append whose records are in the batch, as far as they are not refused.
pub(super) struct Taken {
    pub(super) round: Option<Round>,
    /// Whether there are effects in it, or notes that speak of some.
    pub(super) has_effects: bool,
    pub(super) verdict: Result<(), Unrecorded>,
    pub(super) answer: oneshot::Sender<Result<Appended, Unrecorded>>,
}

impl<S: Storage> Core<S> {
    pub(in super::super) fn stamp(&self, now: Now) -> Stamp {
        let salt = self.active.as_ref().map_or(Salt::new(0), |a| a.salt);
        Stamp {
            salt,
            first: self.log.next,
            durable: self.log.durable,
            now_ms: now.ms,
        }
    }

    pub(super) fn encode(&mut self, jobs: Vec<Job>, now: Now) -> Vec<Taken> {
        self.batch.clear();
        self.settle_owed(now);
        let mut taken = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Job {
                entries,
                round,
                answer,
            } = job;
            let has_effects = entries.iter().any(is_about_effects);
            let round = round.filter(|_| has_effects);
            let verdict = self.encode_all(&entries, round, now);
            // Those of the next append may be of the same lane.
            self.note_refusal(round, &verdict);
            taken.push(Taken {
                round,
                has_effects,
                verdict,
                answer,
            });
        }
        taken
    }

    fn encode_all(
        &mut self,
        entries: &[Entry],
        round: Option<Round>,
        now: Now,
    ) -> Result<(), Unrecorded> {
        let mut verdict = Batch::check_size(entries).and(self.follows(round));
        let is_refused = verdict.is_err();
        for entry in entries {
            // A note may say that what stands before it was taken.
            if verdict.is_err() && matches!(entry, Entry::Note { .. }) {
                continue;
            }
            if is_refused && matches!(entry, Entry::Effect(_)) {
                // All its effects or none: one that is said to be refused
                // must not come back after a restart.
                self.stats.unrecorded += 1;
                continue;
            }
            verdict = verdict.and(self.encode_one(entry, now));
        }
        verdict
    }

    /// Whether nothing before it in this round was refused.
    fn follows(&self, round: Option<Round>) -> Result<(), Unrecorded> {
        match (&self.refused, round) {
            (Some((refused, why)), Some(round)) if round <= *refused => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Nothing that follows in a round may be recorded once effects of it were
    /// refused. One that no record can hold never comes again.
    pub(super) fn note_refusal(&mut self, round: Option<Round>, verdict: &Result<(), Unrecorded>) {
        match (round, verdict) {
            (_, Ok(()) | Err(Unrecorded::TooLarge { .. })) | (None, _) => {}
            (Some(round), Err(why)) => self.refused = Some((round, why.clone())),
        }
    }

    fn encode_one(&mut self, entry: &Entry, now: Now) -> Result<(), Unrecorded> {
        if self.active.is_none() {
            return self.owe(entry);
        }
        let stamp = self.stamp(now);
        if let Entry::Effect(effect) = entry {
            if self
                .batch
                .leaves_open(effect.id, self.index.holds(effect.id))
            {
                return Ok(());
            }
            if let Some(refusal) = self.refusal() {
                self.stats.unrecorded += 1;
                return Err(refusal);
            }
        }
        self.batch.entry(entry, stamp)
    }

    /// Without a disk: what was published is remembered, the rest is refused.
    fn owe(&mut self, entry: &Entry) -> Result<(), Unrecorded> {
        match entry {
            Entry::Done(ids) => {
                for id in ids {
                    self.owe_one(*id);
                }
            }
            Entry::Effect(_) => self.stats.unrecorded += 1,
            _ => {}
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
    }

    pub(super) fn owe_one(&mut self, id: EffectId) {
        self.index.settle(id);
        self.owed.push_back(id);
        if OWED_MAX < self.owed.len() {
            self.owed.pop_front();
        }
    }

    pub(super) fn settle_owed(&mut self, now: Now) {
        if self.active.is_some() && !self.owed.is_empty() {
            let owed: Vec<EffectId> = self.owed.drain(..).collect();
            let stamp = self.stamp(now);
            self.batch.settle(&owed, stamp);
        }
    }

    /// Why no effect is taken, if none is.
    pub(in super::super) fn refusal(&self) -> Option<Unrecorded> {
        match &self.mode {
            Mode::Failed { why } => Some(Unrecorded::Failed { why: why.clone() }),
            _ if self.watch.is_low => Some(Unrecorded::DiskLow),
            Mode::Bypassed { .. } => Some(Unrecorded::Bypassed),
            Mode::Working if self.is_full() => Some(Unrecorded::Full),
            Mode::Working => None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.config.bytes_max <= self.index.bytes()
    }
}

/// Whether it is refused with the effects of its append.
fn is_about_effects(entry: &Entry) -> bool {
    matches!(entry, Entry::Effect(_) | Entry::Note { .. })
}
