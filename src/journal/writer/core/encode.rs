//! From what was asked for to the records of a batch.

use tokio::sync::oneshot;

use super::super::super::draft::{Drafted, Drafts};
use super::super::super::entry::{Entry, Settled};
use super::super::super::error::Unrecorded;
use super::super::super::handle::{Appended, Round};
use super::super::super::record::Salt;
use super::super::super::stamp::Stamp;
use super::super::super::storage::Storage;
use super::super::worth::Worth;
use super::{Core, Job, Mode, Now};
use crate::protocol::id::EffectId;

/// Settled ids that wait for the disk; the oldest go, and cost a duplicate.
const OWED_MAX: usize = 65_536;

/// As many of them go in one batch: together they may be longer than a file may
/// become.
const OWED_AT_ONCE: usize = 512;

/// An append whose records are in the batch, as far as they are not refused.
pub(super) struct Taken {
    pub(super) round: Option<Round>,
    /// Whether there are effects in it, or notes that speak of some.
    pub(super) has_effects: bool,
    pub(super) verdict: Result<(), Unrecorded>,
    pub(super) answer: oneshot::Sender<Result<Appended, Unrecorded>>,
    /// Nobody waits while their memory is given back.
    drafts: Drafts,
}

impl Taken {
    /// What it takes of memory still.
    pub(super) fn bytes(&self) -> usize {
        self.drafts.bytes()
    }
}

impl<S: Storage> Core<S> {
    pub(in crate::journal) fn stamp(&self, now: Now) -> Stamp {
        let salt = self.active.as_ref().map_or(Salt::new(0), |a| a.salt);
        Stamp {
            salt,
            first: self.log.next,
            durable: Some(self.log.durable),
            now_ms: self.ms(now),
        }
    }

    pub(super) fn encode(&mut self, jobs: Vec<Job>, now: Now) -> Vec<Taken> {
        self.batch.clear();
        self.settle_owed(now);
        let mut taken = Vec::with_capacity(jobs.len());
        let is_alone = jobs.len() == 1;
        for job in jobs {
            let Job {
                mut drafts,
                round,
                answer,
            } = job;
            let has_effects = drafts.has_effects;
            let round = round.filter(|_| has_effects);
            let is_adopted = is_alone && self.adopt(&mut drafts, round, now);
            let verdict = if is_adopted {
                Ok(())
            } else {
                self.encode_all(&drafts, round, now)
            };
            // Those of the next append may be of the same lane.
            self.note_refusal(round, &verdict);
            taken.push(Taken {
                round,
                has_effects,
                verdict,
                answer,
                drafts,
            });
        }
        taken
    }

    /// Writes an append from where it stands: it is the only one, and nothing of
    /// it is refused or known.
    fn adopt(&mut self, drafts: &mut Drafts, round: Option<Round>, now: Now) -> bool {
        let is_taken = drafts.fits.is_ok() && self.follows(round).is_ok();
        if !is_taken || self.active.is_none() || self.refusal_of_effects().is_some() {
            return false;
        }
        let stamp = self.stamp(now);
        let index = &self.index;
        self.batch.adopt(drafts, |id| index.holds(id), stamp)
    }

    fn encode_all(
        &mut self,
        drafts: &Drafts,
        round: Option<Round>,
        now: Now,
    ) -> Result<(), Unrecorded> {
        let mut verdict = drafts.fits.clone().and(self.follows(round));
        let is_refused = verdict.is_err();
        let refusal = self.refusal_of_effects();
        let stamp = self.stamp(now);
        for drafted in &drafts.entries {
            let taken = match drafted {
                // All its effects or none: one that is said to be refused must
                // not come back after a restart.
                Drafted::Effect(..) if is_refused => {
                    self.stats.unrecorded += 1;
                    Ok(())
                }
                Drafted::Effect(id, _) if self.is_open(*id) => Ok(()),
                Drafted::Effect(id, form) => {
                    let taken = refusal.clone().map_or(Ok(()), Err);
                    if taken.is_ok() {
                        self.batch.effect((*id, *form), drafts, stamp);
                    } else {
                        self.stats.unrecorded += 1;
                    }
                    taken
                }
                Drafted::Done(settled, _) if self.active.is_none() => {
                    for settled in settled {
                        self.owe_one(*settled);
                    }
                    Err(self.not_written())
                }
                Drafted::Done(settled, form) => {
                    self.batch.done((settled, *form), drafts, stamp);
                    Ok(())
                }
                // It may say that what stands before it was taken.
                Drafted::Other(entry) if verdict.is_err() && is_note(entry) => Ok(()),
                Drafted::Other(_) if self.active.is_none() => Err(self.not_written()),
                Drafted::Other(entry) => self.batch.entry(entry, stamp),
            };
            verdict = verdict.and(taken);
        }
        verdict
    }

    fn is_open(&mut self, id: EffectId) -> bool {
        self.active.is_some() && self.batch.leaves_open(id, self.index.holds(id))
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
            // It may be told when one of a later round was refused already.
            (Some(round), Err(_))
                if self.refused.as_ref().is_some_and(|(last, _)| round < *last) => {}
            (Some(round), Err(why)) => self.refused = Some((round, why.clone())),
        }
    }

    /// Why nothing is written at all; what was published is remembered all the
    /// same.
    fn not_written(&self) -> Unrecorded {
        self.refusal().unwrap_or(Unrecorded::Bypassed)
    }

    pub(super) fn owe_one(&mut self, settled: Settled) {
        self.index.settle(settled.id);
        self.owed.push_back(settled);
        if OWED_MAX < self.owed.len() {
            self.owed.pop_front();
        }
    }

    /// Writes what the disk has not taken so far, but for what goes in the next
    /// batch. All of it comes before anything else: an id may be settled here and
    /// come again there.
    pub(super) fn settle_most_owed(&mut self, now: Now) {
        let mut before = usize::MAX;
        while OWED_AT_ONCE < self.owed.len() && self.owed.len() < before && self.active.is_some() {
            before = self.owed.len();
            self.batch.clear();
            self.settle_owed(now);
            // What was not taken is owed again.
            _ = self.write(now);
        }
    }

    pub(super) fn settle_owed(&mut self, now: Now) {
        if self.active.is_some() && !self.owed.is_empty() {
            let some = self.owed.len().min(OWED_AT_ONCE);
            let owed: Vec<Settled> = self.owed.drain(..some).collect();
            let stamp = self.stamp(now);
            self.batch.settle(&owed, stamp);
        }
    }

    /// Why no effect is taken, if none is.
    pub(in super::super) fn refusal(&self) -> Option<Unrecorded> {
        match &self.mode {
            Mode::Failed { why } => Some(Unrecorded::Failed { why: why.clone() }),
            Mode::Astray { why } => Some(Unrecorded::Astray { why: why.clone() }),
            _ if self.watch.is_low => Some(Unrecorded::DiskLow),
            Mode::Bypassed { .. } => Some(Unrecorded::Bypassed),
            Mode::Working if self.is_full() => Some(Unrecorded::Full),
            Mode::Working => None,
        }
    }

    /// Why an effect is not taken, if it is not.
    fn refusal_of_effects(&self) -> Option<Unrecorded> {
        let without_disk = self.active.is_none().then_some(Unrecorded::Bypassed);
        self.refusal().or(without_disk)
    }

    /// Whether it has all it may, with what is being written.
    pub(super) fn is_full(&self) -> bool {
        let written = self.batch.bytes.len() as u64;
        Worth::new(&self.index.segments, &self.config, 0).is_full_with(written)
    }
}

fn is_note(entry: &Entry) -> bool {
    matches!(entry, Entry::Note { .. })
}
