//! Writing on while the disk is at work.
//!
//! A sync costs as much as the write before it and all that comes with it, or more.
//! So under load the journal's thread does not wait for it: a thread of its own
//! ([`Syncer`]) syncs, and the next append is written meanwhile. Who waits for an
//! append is answered when its own sync is done; the order stays.
//!
//! ```text
//! thread  ─ write 1 ─┬─ write 2 ─┬─ answer 1 ─ write 3 ─┬─ answer 2 ─ …
//! syncer             └── sync 1 ─┴──────── sync 2 ──────┴── sync 3 ─ …
//! ```
//!
//! That is for appends of effects, as long as nothing else is to be done. For all
//! the rest what is under way is waited for first ([`Core::come_to_rest`]), and then
//! everything is as if it had been done in place. So it is when a sync fails, or a
//! file is not where it was: what is not durable is put together again, and it goes
//! on where a sync in place would have failed.
//!
//! An append that comes alone is synced in place: that is a wake-up less.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::super::super::config::Sync;
use super::super::super::storage::{LaterSync, Storage, StoredFile};
use super::super::batch::Batch;
use super::super::syncer::{Synced, Syncer};
use super::encode::Taken;
use super::write::Fate;
use super::{Core, Job, Mode, Now};
use crate::failpoint::{self, Point};

/// Bytes of an append that are worth waking another thread.
const BYTES_MIN: usize = 32 << 10;

/// Bytes of memory that may be under way when more is written.
const BYTES_MAX: usize = 2 << 20;

/// Appends that may be under way when more are written.
const UNDER_WAY_MAX: usize = 16;

/// Everything else is looked after at least this often.
const REST_EVERY: Duration = Duration::from_millis(20);

/// What is written ahead of its sync.
pub(super) struct Ahead<P> {
    syncer: Syncer<P>,
    /// Oldest first; each waits for an answer of the syncer.
    under_way: VecDeque<UnderWay>,
    /// Whether appends came faster than they were synced.
    is_pressed: bool,
    /// When everything else was looked after.
    rested_at: Instant,
    bytes_min: usize,
}

/// An append that is written, and is being synced.
struct UnderWay {
    batch: Batch,
    taken: Vec<Taken>,
    /// How much of the batch nobody waits for.
    before: usize,
    /// Where the rest of it begins in the segment.
    from: u64,
    /// Its last record, and the checksum of that.
    last: u64,
    crc: u32,
}

impl<P: LaterSync> Ahead<P> {
    pub(super) fn new(now: Now) -> Self {
        Self {
            syncer: Syncer::new(),
            under_way: VecDeque::new(),
            is_pressed: false,
            rested_at: now.at,
            bytes_min: BYTES_MIN,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn bytes(&self) -> usize {
        let of = |one: &UnderWay| {
            let taken: usize = one.taken.iter().map(Taken::bytes).sum();
            one.batch.bytes.len() + taken
        };
        self.under_way.iter().map(of).sum()
    }
}

impl<S: Storage> Core<S> {
    /// Whether syncs are under way.
    pub(in super::super) fn is_under_way(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Where the syncer tells what became of what is under way.
    pub(in super::super) fn synced(&self) -> &crossbeam_channel::Receiver<Synced> {
        self.ahead.syncer.done()
    }

    /// Whether appends came faster than they were synced.
    pub(in super::super) fn press(&mut self, is_pressed: bool) {
        self.ahead.is_pressed = is_pressed;
    }

    /// All there is to do was done, in a moment in which nothing was under way.
    pub(super) fn has_rested(&mut self, now: Now) {
        self.ahead.rested_at = now.at;
    }

    /// Whether these can be written now, while others are being synced.
    pub(super) fn can_follow(&self, jobs: &[Job], now: Now) -> bool {
        let bytes: usize = jobs.iter().map(|job| job.drafts.bytes()).sum();
        let are_effects = |job: &Job| job.drafts.has_effects && job.drafts.is_plain();
        !jobs.is_empty() && jobs.iter().all(are_effects) && self.is_worth_it(bytes, now)
    }

    /// Waits until no more is under way than may be when more is written.
    pub(super) fn make_way(&mut self, now: Now) {
        while UNDER_WAY_MAX <= self.ahead.under_way.len() || BYTES_MAX <= self.ahead.bytes() {
            let synced = self.ahead.syncer.wait();
            self.land(synced, now);
        }
    }

    /// Whether an append of so much is better not waited for, and nothing else is to be
    /// done.
    fn is_worth_it(&self, bytes: usize, now: Now) -> bool {
        let is_due = self.compaction_due().is_some_and(|due| due <= now.at)
            || self.ahead.rested_at + REST_EVERY <= now.at;
        let has_room = |end: u64| end < self.config.segment_bytes_max;
        self.ahead.is_pressed
            && self.pace.is_quick()
            && self.config.sync == Sync::Always
            && self.mode == Mode::Working
            && self.owed.is_empty()
            && self
                .active
                .as_ref()
                .is_some_and(|active| has_room(active.end))
            && (self.ahead.bytes_min..self.too_long / 2).contains(&bytes)
            && !is_due
    }

    /// Whether each of these is better written by itself than together with the others.
    pub(super) fn are_better_apart(&self, jobs: &[Job], now: Now) -> bool {
        let is_large = |job: &Job| self.is_worth_it(job.drafts.bytes(), now);
        self.ahead.syncer.can_work() && 1 < jobs.len() && jobs.iter().all(is_large)
    }

    /// Whether another thread may sync the batch once it is written.
    pub(super) fn may_go_ahead(&mut self, now: Now) -> bool {
        self.is_worth_it(self.batch.bytes.len(), now) && self.ahead.syncer.is_ready()
    }

    /// Has synced what was written, and goes on meanwhile. There is a segment.
    pub(super) fn go_ahead(&mut self, taken: Vec<Taken>, now: Now) {
        self.tell_index();
        let Some(active) = &self.active else { return };
        let before = std::mem::replace(&mut self.unsynced_before, 0);
        let batch = std::mem::take(&mut self.unsynced);
        let (segment, sync) = (active.salt.value, active.file().later_sync());
        // For an append that says nothing new nothing was written.
        let from = if batch.is_empty() {
            active.end
        } else {
            active.last()
        };
        self.ahead.under_way.push_back(UnderWay {
            batch,
            taken,
            before,
            from,
            last: self.log.next - 1,
            crc: self.log.crc,
        });
        match sync {
            Ok(sync) => self.ahead.syncer.order(sync, segment),
            // Nobody was asked for this one.
            Err(_) => self.put_together(self.ahead.under_way.len() - 1, Ok(()), now),
        }
    }

    /// Waits for all that is under way.
    pub(in super::super) fn come_to_rest(&mut self, now: Now) {
        while self.is_under_way() {
            let synced = self.ahead.syncer.wait();
            self.land(synced, now);
        }
    }

    /// Waits for the first that is under way.
    #[cfg(test)]
    pub(in crate::journal) fn land_first(&mut self, now: Now) {
        if self.is_under_way() {
            let synced = self.ahead.syncer.wait();
            self.land(synced, now);
        }
    }

    /// The sync of the first that is under way is done.
    pub(in super::super) fn land(&mut self, synced: Synced, now: Now) {
        self.note_took(&synced);
        if synced.result.is_ok() && self.is_found() {
            failpoint::reach(Point::JournalSynced);
            let Some(first) = self.ahead.under_way.pop_front() else {
                return;
            };
            (self.log.durable, self.log.durable_crc) = (first.last, first.crc);
            self.answer(first.taken, &Fate::RECORDED, first.last);
        } else if self.is_under_way() {
            self.put_together(self.ahead.under_way.len() - 1, synced.result, now);
        }
    }

    fn note_took(&mut self, synced: &Synced) {
        if let Some(took) = synced.took {
            self.stats.syncs.record(took);
            self.pace.synced(took);
        }
    }

    /// Has everything that is under way be as if it had just been written, and synced
    /// in place; so many answers of the syncer are still to come, after `synced`.
    fn put_together(&mut self, to_come: usize, synced: io::Result<()>, now: Now) {
        let mut result = synced;
        for _ in 0..to_come {
            let synced = self.ahead.syncer.wait();
            self.note_took(&synced);
            result = result.and(synced.result);
        }
        debug_assert!(self.unsynced.is_empty(), "all that is written is under way");
        let mut taken = Vec::new();
        for (at, mut one) in std::mem::take(&mut self.ahead.under_way)
            .into_iter()
            .enumerate()
        {
            if at == 0 {
                self.unsynced_before = one.before;
                self.owed_from(one.from);
            }
            self.unsynced.append(&mut one.batch);
            taken.append(&mut one.taken);
        }
        let synced = match result {
            Ok(()) => self.sync_first(now),
            Err(error) => self.sync_failed(&error, now),
        };
        self.tell(taken, &Fate::RECORDED, synced);
    }

    /// What somebody waits for begins here in the segment.
    fn owed_from(&mut self, offset: u64) {
        if let Some(active) = &mut self.active {
            active.set_last(offset);
        }
    }
}

#[cfg(test)]
impl<S: Storage> Core<S> {
    /// Has it always write ahead where it may, with a syncer that is played.
    pub(in crate::journal) fn hurry(&mut self) {
        self.hurry_with(Syncer::told());
    }

    /// The same, with a thread.
    pub(in crate::journal) fn hurry_beside_a_thread(&mut self) {
        self.hurry_with(Syncer::new());
    }

    /// The same, but there is no thread; perhaps it `was_there`, and is gone.
    pub(in crate::journal) fn hurry_without(&mut self, was_there: bool) {
        self.hurry_with(Syncer::without(was_there));
    }

    fn hurry_with(&mut self, syncer: Syncer<<S::File as StoredFile>::Sync>) {
        self.ahead.syncer = syncer;
        self.ahead.is_pressed = true;
        self.ahead.bytes_min = 1;
    }
}
