//! An append from the queue to the disk and back.

use super::super::super::config::Sync;
use super::super::super::error::Unrecorded;
use super::super::super::handle::Appended;
use super::super::super::storage::Storage;
use super::sync::Kept;
use super::{Core, DIRTY_MAX, Job, Now};
use crate::failpoint::{self, Point};

impl<S: Storage> Core<S> {
    /// Records everything the jobs ask for, in one write and at most one sync,
    /// and tells them.
    pub(in crate::journal) fn commit(&mut self, jobs: Vec<Job>, now: Now) {
        let bytes: usize = jobs.iter().map(|job| job.drafts.bytes()).sum();
        if bytes < self.too_long / 2 {
            return self.commit_together(jobs, now);
        }
        // What fits alone must not be refused for its company.
        for job in jobs {
            self.commit_together(vec![job], now);
        }
    }

    fn commit_together(&mut self, jobs: Vec<Job>, now: Now) {
        self.prepare(now);
        self.settle_most_owed(now);
        let taken = self.encode(jobs, now);
        let depends_on_sync = match self.config.sync {
            Sync::Always => !self.batch.only_settles(),
            Sync::Interval(_) => self.batch.has_decisions(),
        };
        let has_decisions = self.batch.has_decisions();
        let mut fate = self.write_first(now);
        let synced = if depends_on_sync {
            self.sync_first(now)
        } else {
            self.look_again(now).map(|()| Kept::Needed)
        };
        let kept = synced.as_ref().map_or(Kept::Needed, |kept| *kept);
        fate = fate.and(&synced.map(drop));
        if has_decisions {
            failpoint::reach(Point::DecisionSynced);
        }
        let last_seq = self.log.next - 1;
        for taken in taken {
            let verdict = taken.verdict.and(fate.of(taken.has_effects));
            self.note_refusal(taken.round.filter(|_| taken.has_effects), &verdict);
            _ = taken.answer.send(verdict.map(|()| Appended { last_seq }));
        }
        self.catch_up(kept);
        // What was answered stays, whatever a later sync comes to.
        self.unsynced_before = self.unsynced.written.len();
        if DIRTY_MAX <= self.unsynced.bytes.len() {
            // Those who were answered did not ask for it.
            _ = self.sync(now);
        }
    }

    /// Makes the end of the journal and syncs it.
    pub(in crate::journal) fn close(&mut self, now: Now) -> Result<(), Unrecorded> {
        self.looked_around = None;
        self.prepare(now);
        if let Some(refusal) = self.has_ended() {
            self.end_away(now);
            return Err(refusal);
        }
        self.settle_most_owed(now);
        self.batch.clear();
        self.settle_owed(now);
        if self.active.is_some() {
            let stamp = self.stamp(now);
            self.batch.close(stamp);
        }
        let written = self.write(now).whole();
        written.and(self.sync(now))
    }
}
