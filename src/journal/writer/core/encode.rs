//! From what was asked for to the records of a batch.

use tokio::sync::oneshot;

use super::super::super::draft::{Drafted, Drafts};
use super::super::super::entry::{Entry, Settled};
use super::super::super::error::Unrecorded;
use super::super::super::handle::{Appended, Round};
use super::super::super::record::{Draft, Salt};
use super::super::super::storage::Storage;
use super::super::batch::Stamp;
use super::super::worth::Worth;
use super::{Core, Job, Mode, Now};

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
    /// Nobody waits while its memory is given back.
    _drafts: Drafts,
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
                drafts,
                round,
                answer,
            } = job;
            let has_effects = drafts.has_effects;
            let round = round.filter(|_| has_effects);
            let verdict = self.encode_all(&drafts, round, now);
            // Those of the next append may be of the same lane.
            self.note_refusal(round, &verdict);
            taken.push(Taken {
                round,
                has_effects,
                verdict,
                answer,
                _drafts: drafts,
            });
        }
        taken
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
                Drafted::Effect(_) if is_refused => {
                    self.stats.unrecorded += 1;
                    Ok(())
                }
                Drafted::Effect(of) => self.effect(drafts.draft(*of), refusal.as_ref(), stamp),
                // It may say that what stands before it was taken.
                Drafted::Other(entry) if verdict.is_err() && is_note(entry) => Ok(()),
                Drafted::Other(entry) if self.active.is_none() => self.owe(entry),
                Drafted::Other(entry) => self.batch.entry(entry, stamp),
            };
            verdict = verdict.and(taken);
        }
        verdict
    }

    fn effect(
        &mut self,
        draft: Draft<'_>,
        refusal: Option<&Unrecorded>,
        stamp: Stamp,
    ) -> Result<(), Unrecorded> {
        let is_open = || self.batch.leaves_open(draft.id, self.index.holds(draft.id));
        if self.active.is_some() && is_open() {
            return Ok(());
        }
        if let Some(refusal) = refusal {
            self.stats.unrecorded += 1;
            return Err(refusal.clone());
        }
        self.batch.effect(draft, stamp)
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

    /// Without a disk: what was published is remembered, the rest is refused.
    fn owe(&mut self, entry: &Entry) -> Result<(), Unrecorded> {
        if let Entry::Done(settled) = entry {
            for settled in settled {
                self.owe_one(*settled);
            }
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
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
