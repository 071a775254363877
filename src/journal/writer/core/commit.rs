//! An append from the queue to the disk and back.

use super::super::super::config::Sync;
use super::super::super::error::Unrecorded;
use super::super::super::handle::Appended;
use super::super::super::storage::Storage;
use super::encode::Taken;
use super::sync::Kept;
use super::write::Fate;
use super::{Core, DIRTY_MAX, Job, Now};
use crate::failpoint::{self, Point};

impl<S: Storage> Core<S> {
    /// Records everything the jobs ask for, in one write and at most one sync,
    /// and tells them. If they are large and the disk is behind, each has a write of
    /// its own, and is told once that is synced.
    pub(in crate::journal) fn commit(&mut self, jobs: Vec<Job>, now: Now) {
        if !self.can_follow(&jobs, now) {
            self.come_to_rest(now);
        }
        let bytes: usize = jobs.iter().map(|job| job.drafts.bytes()).sum();
        if self.are_better_apart(&jobs, now) {
            // To bring them together would cost more than a write.
            for job in jobs {
                self.commit(vec![job], now);
            }
        } else if bytes < self.too_long / 2 {
            self.commit_together(jobs, now);
        } else {
            // What fits alone must not be refused for its company.
            for job in jobs {
                self.commit_together(vec![job], now);
            }
        }
    }

    fn commit_together(&mut self, jobs: Vec<Job>, now: Now) {
        self.make_way(now);
        if self.is_under_way() && self.is_cut() {
            // A write would hide that.
            self.come_to_rest(now);
        }
        if !self.is_under_way() {
            self.prepare(now);
            self.settle_most_owed(now);
        }
        let taken = self.encode(jobs, now);
        let depends_on_sync = match self.config.sync {
            Sync::Always => !self.batch.only_settles(),
            Sync::Interval(_) => self.batch.has_decisions(),
        };
        let has_decisions = self.batch.has_decisions();
        let may_begin = depends_on_sync && !has_decisions && self.may_go_ahead(now);
        let fate = self.write_first(now);
        // What was under way before still is, if nothing went wrong.
        if self.is_under_way() || (may_begin && fate.is_recorded() && self.active.is_some()) {
            return self.go_ahead(taken, now);
        }
        let synced = if depends_on_sync {
            self.sync_first(now)
        } else {
            self.look_again(now).map(|()| Kept::Needed)
        };
        if has_decisions {
            failpoint::reach(Point::DecisionSynced);
        }
        self.tell(taken, &fate, synced);
        if DIRTY_MAX <= self.unsynced.bytes.len() {
            // Those who were answered did not ask for it.
            _ = self.sync(now);
        }
    }

    /// Answers those whose records were written, and synced if they wait for that.
    pub(super) fn tell(
        &mut self,
        taken: Vec<Taken>,
        written: &Fate,
        synced: Result<Kept, Unrecorded>,
    ) {
        let kept = synced.as_ref().map_or(Kept::Needed, |kept| *kept);
        let fate = written.and(&synced.map(drop));
        self.answer(taken, &fate, self.log.next - 1);
        self.catch_up(kept);
        // What was answered stays, whatever a later sync comes to.
        self.unsynced_before = self.unsynced.written.len();
    }

    pub(super) fn answer(&mut self, taken: Vec<Taken>, fate: &Fate, last_seq: u64) {
        for taken in taken {
            let verdict = taken.verdict.and(fate.of(taken.has_effects));
            self.note_refusal(taken.round.filter(|_| taken.has_effects), &verdict);
            _ = taken.answer.send(verdict.map(|()| Appended { last_seq }));
        }
    }

    /// Makes the end of the journal and syncs it.
    pub(in crate::journal) fn close(&mut self, now: Now) -> Result<(), Unrecorded> {
        self.come_to_rest(now);
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
