//! What the journal does with a batch, without its thread.
//!
//! ```text
//!              write fails: cut back, elsewhere
//!          ┌───────────────┐
//!          ▼               │        fails again: Exit
//!  ┌─── working ───────────┴──────────────────────────▶ failed
//!  │       ▲ sync fails: never again on that file;
//!  │       │ what was not durable goes to a new segment
//!  │       └───────────────┐
//!  └─ fails again: Bypass ─▶ bypassed ── every 10 s ──▶ working
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, warn};

use super::super::config::{Config, OnFailure, Sync};
use super::super::entry::{Entry, ReadBack, Stored};
use super::super::error::{Unreadable, Unrecorded};
use super::super::fold::Fold;
use super::super::handle::Appended;
use super::super::record::{self, Payload, Salt};
use super::super::recovery::{Read, Repaired};
use super::super::scan::{self, OlderFormat};
use super::super::segment::Segment;
use super::super::stats::{Health, Progress, Stats};
use super::super::storage::{Storage, read_exact};
use super::active::{Active, Before, BeginError, Nursery, WriteError};
use super::batch::{Batch, Stamp};
use super::compaction::Compaction;
use super::index::Index;
use super::pace::Pace;
use super::space::{self, Watch};
use crate::failpoint::{self, Point};
use crate::protocol::id::EffectId;
use crate::report::Report;

/// In interval mode, written bytes that are synced before their time.
const DIRTY_MAX: usize = 1 << 20;

/// How long a failed disk is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Settled ids that wait for the disk; the oldest go, and cost a duplicate.
const OWED_MAX: usize = 65_536;

/// Entries of one append, and who waits for them.
pub(in crate::journal) type Job = (Vec<Entry>, Answer);

/// Who waits for an append.
type Answer = oneshot::Sender<Result<Appended, Unrecorded>>;

/// Whether there is a disk to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Working,
    Bypassed { why: Box<str>, again_at: Instant },
    Failed { why: Box<str> },
}

/// How far the log is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    /// The number of the next record.
    pub(super) next: u64,
    /// The checksum of the one before it.
    pub(super) crc: u32,
    /// The last record on stable storage, and its checksum.
    pub(super) durable: u64,
    pub(super) durable_crc: u32,
}

/// The time of a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Now {
    pub(in crate::journal) at: Instant,
    pub(in crate::journal) ms: u64,
}

impl Now {
    pub(in crate::journal) fn read() -> Self {
        Self {
            at: Instant::now(),
            ms: crate::clock::now_ms(),
        }
    }
}

/// The state of an open journal.
pub(in crate::journal) struct Core<S: Storage> {
    pub(super) storage: S,
    pub(super) config: Config,
    pub(super) index: Index,
    pub(super) log: Log,
    pub(super) mode: Mode,
    pub(super) watch: Watch,
    pub(super) stats: Stats,
    pub(super) compaction: Compaction,
    pub(super) degraded: Option<Box<str>>,
    pub(super) active: Option<Active<S::File>>,
    nursery: Nursery<S::File>,
    /// The batch that is made.
    pub(super) batch: Batch,
    /// What was written since the last sync.
    pub(super) unsynced: Batch,
    /// How much of that nobody waits for any more: it must not be refused.
    unsynced_before: usize,
    owed: VecDeque<EffectId>,
    pace: Pace,
    synced_at: Instant,
    older: &'static [OlderFormat],
}

impl<S: Storage> Core<S> {
    /// Goes on where `read` ended, with a new segment if there is room for it.
    pub(in crate::journal) fn new(
        storage: S,
        config: Config,
        read: Read,
        repaired: &Repaired,
        now: Now,
    ) -> (Self, Fold) {
        let last = read.report.last_seq;
        let durable = if repaired.is_durable {
            last
        } else {
            read.report.durable_seq.min(last)
        };
        let index = Index::of(&read.fold, read.segments);
        let stats = Stats {
            bytes_max: config.bytes_max,
            quarantined: repaired.quarantined,
            ..Stats::default()
        };
        let mut core = Self {
            storage,
            config,
            index,
            log: Log {
                next: last + 1,
                crc: read.last_crc,
                durable,
                durable_crc: read.last_crc,
            },
            mode: Mode::Working,
            watch: Watch::new(),
            stats,
            compaction: Compaction::default(),
            degraded: None,
            active: None,
            nursery: Nursery::new(),
            batch: Batch::default(),
            unsynced: Batch::default(),
            unsynced_before: 0,
            owed: VecDeque::new(),
            pace: Pace::default(),
            synced_at: now.at,
            older: scan::OLDER,
        };
        if read.report.is_corrupt() {
            core.degraded = Some("records that were on disk are damaged; see quarantine".into());
        } else if let Some(error) = &repaired.error {
            core.degraded = Some(format!("the disk refuses repairs: {error}").into());
        }
        core.prepare(now);
        (core, read.fold)
    }

    /// Records everything the jobs ask for, in one write and at most one sync,
    /// and tells them.
    pub(in crate::journal) fn commit(&mut self, jobs: Vec<Job>, now: Now) {
        self.prepare(now);
        let answers = self.encode(jobs, now);
        let depends_on_sync = self.config.sync == Sync::Always || self.batch.has_failure();
        let mut recorded = self.write(now);
        if depends_on_sync {
            recorded = recorded.and(self.sync(now));
        }
        let last_seq = self.log.next - 1;
        for (answer, verdict) in answers {
            let verdict = verdict.and(recorded.clone());
            _ = answer.send(verdict.map(|()| Appended { last_seq }));
        }
        // What was answered stays, whatever a later sync comes to.
        self.unsynced_before = self.unsynced.written.len();
        if DIRTY_MAX <= self.unsynced.bytes.len() {
            // Those who were answered did not ask for it.
            _ = self.sync(now);
        }
    }

    /// Does what is due by now.
    pub(in crate::journal) fn tick(&mut self, now: Now) {
        if self.sync_due().is_some_and(|due| due <= now.at) {
            _ = self.sync(now);
        }
        self.prepare(now);
        self.maintain(now);
        let half = self.config.segment_bytes_max / 2;
        let is_half_full = self.active.as_ref().is_some_and(|a| half < a.end);
        if is_half_full && !self.nursery.is_ready() {
            // Else it is made when it is needed.
            _ = self.nursery.prepare(&self.storage);
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(in crate::journal) fn due(&self, now: Now) -> Instant {
        let idle = now.at
            + match (&self.mode, self.watch.is_low || self.is_full()) {
                (Mode::Working, false) => Duration::from_secs(60),
                _ => Duration::from_secs(1),
            };
        let others = [self.sync_due(), self.compaction_due()];
        others.into_iter().flatten().fold(idle, Instant::min)
    }

    fn sync_due(&self) -> Option<Instant> {
        match self.config.sync {
            Sync::Interval(every) if !self.unsynced.is_empty() => Some(self.synced_at + every),
            _ => None,
        }
    }

    /// How long a batch of this many records should wait for more.
    pub(in crate::journal) fn hold(&self, records: usize) -> Option<Duration> {
        match self.config.sync {
            Sync::Always => self.pace.hold(records),
            Sync::Interval(_) => None,
        }
    }

    /// Makes the end of the journal and syncs it.
    pub(in crate::journal) fn close(&mut self, now: Now) -> Result<(), Unrecorded> {
        self.prepare(now);
        self.batch.clear();
        self.settle_owed(now);
        if self.active.is_some() {
            let stamp = self.stamp(now);
            self.batch.close(stamp);
        }
        let written = self.write(now);
        written.and(self.sync(now))
    }

    pub(in crate::journal) fn has_failed(&self) -> bool {
        matches!(self.mode, Mode::Failed { .. })
    }

    pub(in crate::journal) fn read(&self, ids: &[EffectId]) -> Vec<ReadBack> {
        ids.iter().map(|id| self.read_one(*id)).collect()
    }

    fn read_one(&self, id: EffectId) -> ReadBack {
        let Some((place, segment)) = self.index.find(id) else {
            return Ok(None);
        };
        let name = segment.name();
        let line = self
            .storage
            .open(&name)
            .and_then(|file| read_exact(&file, u64::from(place.offset), place.length as usize));
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                error!(effect_id = %id, segment = %name, error = %Report(&error), "An effect cannot be read back.");
                return if is_loss(&error) {
                    Ok(None)
                } else {
                    Err(Unreadable)
                };
            }
        };
        let stored = stored(id, &line, Salt::new(segment.salt), self.older);
        if stored.is_none() && self.unsynced.opens(id) {
            // A failed sync may have lost it on disk; it is written again.
            return Err(Unreadable);
        }
        if stored.is_none() {
            error!(effect_id = %id, segment = %name, offset = place.offset, "An effect's record is damaged.");
        }
        Ok(stored)
    }

    /// Sees to it that there is a segment to write to, if that can be.
    fn prepare(&mut self, now: Now) {
        self.watch.look(&self.storage, &self.config, now.at);
        match &self.mode {
            Mode::Failed { .. } => {}
            Mode::Bypassed { again_at, .. } if now.at < *again_at => {}
            _ if self.active.is_none() => self.resume(now),
            _ => self.rotate_if_due(now),
        }
    }

    fn resume(&mut self, now: Now) {
        match self.begin(now) {
            Ok(()) => self.mode = Mode::Working,
            Err(error) if space::is_full(&error.source) => {
                self.watch.is_low = true;
                self.bypass(&error.source, now);
            }
            Err(error) => self.fail(&error.source, now),
        }
    }

    fn rotate_if_due(&mut self, now: Now) {
        let is_due = self.active.as_ref().is_some_and(|active| {
            self.config.segment_bytes_max <= active.end
                || self.config.segment_age_max <= now.at.saturating_duration_since(active.begun)
        });
        if is_due {
            self.rotate(now);
        }
    }

    /// Closes the segment that is written and begins the next.
    pub(super) fn rotate(&mut self, now: Now) {
        let before = self.active.as_ref().map(|active| active.id);
        if self.sync(now).is_err() || self.active.as_ref().map(|a| a.id) != before {
            // There is none to close, or it was replaced just now.
            return;
        }
        match self.begin(now) {
            Ok(()) => {}
            Err(BeginError { source, is_named }) => {
                self.note_error(&source);
                if is_named {
                    self.active = None;
                    self.fail(&source, now);
                }
                // Else the old one can still be written.
            }
        }
    }

    /// Begins a segment, with what is not durable in it.
    fn begin(&mut self, now: Now) -> Result<(), BeginError> {
        let before = Before {
            last: self.log.next - 1,
            crc: self.log.crc,
            durable: self.log.durable,
        };
        let begin = |core: &mut Self| {
            let replay = &mut core.unsynced;
            core.nursery.begin(&core.storage, before, replay, now.ms)
        };
        let mut begun = begin(self);
        if begun.as_ref().is_err_and(|e| space::is_full(&e.source)) && self.make_room(now) {
            begun = begin(self);
        }
        self.begun(begun?, before, now);
        Ok(())
    }

    fn begun(&mut self, mut active: Active<S::File>, before: Before, now: Now) {
        active.id = self.index.segments.back().map_or(0, |last| last.id + 1);
        let first = before.last + 1;
        self.index.segments.push_back(Segment {
            id: active.id,
            first,
            bytes: active.end,
            salt: active.salt.value,
            ..Segment::default()
        });
        let base = active.end - self.unsynced.bytes.len() as u64;
        self.index
            .apply(&mut self.unsynced, active.id, base, now.ms);
        self.log.next = first + super::active::HEADERS + self.unsynced.len();
        self.log.crc = active.begun_crc;
        self.active = Some(active);
        self.all_durable(now);
    }

    fn all_durable(&mut self, now: Now) {
        self.log.durable = self.log.next - 1;
        self.log.durable_crc = self.log.crc;
        self.unsynced.clear();
        self.synced_at = now.at;
    }

    /// Gives back what can be given back; whether that was anything.
    fn make_room(&mut self, now: Now) -> bool {
        let had_reserve = self.watch.spend(&self.storage);
        self.drop_dead(now) || had_reserve
    }

    pub(super) fn stamp(&self, now: Now) -> Stamp {
        let salt = self.active.as_ref().map_or(Salt::new(0), |a| a.salt);
        Stamp {
            salt,
            first: self.log.next,
            durable: self.log.durable,
            now_ms: now.ms,
        }
    }

    fn encode(&mut self, jobs: Vec<Job>, now: Now) -> Vec<(Answer, Result<(), Unrecorded>)> {
        self.batch.clear();
        self.settle_owed(now);
        let mut answers = Vec::with_capacity(jobs.len());
        for (entries, answer) in jobs {
            let mut verdict = Batch::check_size(&entries);
            let is_refused = verdict.is_err();
            for entry in &entries {
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
            answers.push((answer, verdict));
        }
        answers
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

    /// Without a disk: what is settled is remembered, the rest is refused.
    fn owe(&mut self, entry: &Entry) -> Result<(), Unrecorded> {
        match entry {
            Entry::Done(ids) => {
                for id in ids {
                    self.owe_one(*id);
                }
            }
            Entry::Discard(id) => self.owe_one(*id),
            Entry::Effect(_) => self.stats.unrecorded += 1,
            _ => {}
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
    }

    fn owe_one(&mut self, id: EffectId) {
        self.index.settle(id);
        self.owed.push_back(id);
        if OWED_MAX < self.owed.len() {
            self.owed.pop_front();
        }
    }

    fn settle_owed(&mut self, now: Now) {
        if self.active.is_some() && !self.owed.is_empty() {
            let owed: Vec<EffectId> = self.owed.drain(..).collect();
            let stamp = self.stamp(now);
            self.batch.settle(&owed, stamp);
        }
    }

    /// Why no effect is taken, if none is.
    pub(super) fn refusal(&self) -> Option<Unrecorded> {
        match &self.mode {
            Mode::Failed { why } => Some(Unrecorded::Failed { why: why.clone() }),
            _ if self.watch.is_low => Some(Unrecorded::DiskLow),
            Mode::Bypassed { .. } => Some(Unrecorded::Bypassed),
            Mode::Working if self.is_full() => Some(Unrecorded::Full),
            Mode::Working => None,
        }
    }

    fn is_full(&self) -> bool {
        self.config.bytes_max <= self.index.bytes()
    }

    /// Writes the batch.
    pub(super) fn write(&mut self, now: Now) -> Result<(), Unrecorded> {
        self.unsynced_before = self.unsynced.written.len();
        if self.batch.is_empty() {
            return Ok(());
        }
        let Some(active) = &mut self.active else {
            return Err(self.refusal().unwrap_or(Unrecorded::Bypassed));
        };
        match active.write(&self.batch.bytes) {
            Ok(()) => {
                failpoint::reach(Point::JournalWritten);
                if self.batch.has_settled() {
                    failpoint::reach(Point::DoneWritten);
                }
                self.written(now);
                Ok(())
            }
            Err(error) if error.is_whole && space::is_full(&error.source) => {
                self.write_without_room(&error.source, now)
            }
            Err(error) => self.write_elsewhere(&error, now),
        }
    }

    /// The batch stands in the active segment.
    fn written(&mut self, now: Now) {
        let Some(active) = &self.active else { return };
        let base = active.end - self.batch.bytes.len() as u64;
        let (id, end) = (active.id, active.end);
        self.index.apply(&mut self.batch, id, base, now.ms);
        if let Some(segment) = self.index.segment(id) {
            segment.bytes = end;
        }
        self.log.next += self.batch.len();
        self.log.crc = self.batch.last_crc();
        self.stats.records += self.batch.len();
        self.stats.batches += 1;
        if self.unsynced.is_empty() {
            std::mem::swap(&mut self.unsynced, &mut self.batch);
        } else {
            self.unsynced.append(&self.batch);
        }
        self.batch.clear();
    }

    /// The disk is full: the reserve is for what settles effects.
    fn write_without_room(&mut self, error: &io::Error, now: Now) -> Result<(), Unrecorded> {
        self.note_error(error);
        warn!(error = %Report(error), "The journal's disk is full; no effect is taken.");
        if self.make_room(now) && self.rewrite(now).is_ok() {
            return Ok(());
        }
        let refused = self.batch.drop_effects(0).effects.len();
        self.stats.unrecorded += refused as u64;
        let result = match refused {
            0 => Ok(()),
            _ => Err(Unrecorded::DiskLow),
        };
        if self.batch.is_empty() || self.rewrite(now).is_ok() {
            return result;
        }
        self.owe_batch();
        Err(Unrecorded::DiskLow)
    }

    /// Writes the batch with the numbers that are next.
    fn rewrite(&mut self, now: Now) -> Result<(), WriteError> {
        let stamp = self.stamp(now);
        self.batch.restamp(stamp.salt, stamp.first);
        if let Some(active) = &mut self.active {
            active.write(&self.batch.bytes)?;
            self.written(now);
        }
        Ok(())
    }

    /// Remembers what the batch settles, and drops it.
    fn owe_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for written in batch.written {
            if let super::batch::Change::Settle(ids) = written.change {
                for id in ids {
                    self.owe_one(id);
                }
            }
        }
    }

    /// The segment cannot be written any more, but what it holds is good.
    fn write_elsewhere(&mut self, error: &WriteError, now: Now) -> Result<(), Unrecorded> {
        self.note_error(&error.source);
        warn!(error = %Report(&error.source), "The journal cannot write its segment; it begins another.");
        let synced = self.sync(now);
        if synced.is_ok() {
            self.active = None;
            if let Err(error) = self.begin(now) {
                self.fail(&error.source, now);
            }
        }
        if self.active.is_some() && self.rewrite(now).is_ok() {
            return Ok(());
        }
        self.active = None;
        self.stats.unrecorded += self.batch.drop_effects(0).effects.len() as u64;
        self.owe_batch();
        if self.mode == Mode::Working {
            self.fail(
                &io::Error::other("the next segment cannot be written either"),
                now,
            );
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self, now: Now) -> Result<(), Unrecorded> {
        if self.unsynced.is_empty() && self.active.is_some() {
            return Ok(());
        }
        let Some(active) = &mut self.active else {
            if self.unsynced.is_empty() {
                return Ok(());
            }
            return Err(self.refusal().unwrap_or(Unrecorded::Bypassed));
        };
        let (result, took) = active.sync();
        self.stats.syncs.record(took);
        self.pace.synced(took);
        match result {
            Ok(()) => {
                failpoint::reach(Point::JournalSynced);
                self.all_durable(now);
                Ok(())
            }
            Err(error) => self.poisoned(&error, now),
        }
    }

    /// A sync failed: nothing is known of the file's unsynced bytes, and
    /// another sync would only lie. They are still in memory.
    fn poisoned(&mut self, error: &io::Error, now: Now) -> Result<(), Unrecorded> {
        self.note_error(error);
        self.stats.poisoned += 1;
        error!(error = %Report(error), "A journal segment could not be synced; what it may have lost is written again.");
        self.active = None;
        self.log.next = self.log.durable + 1;
        self.log.crc = self.log.durable_crc;
        let Err(error) = self.begin(now) else {
            return Ok(());
        };
        self.fail(&error.source, now);
        // What is refused must not come back later.
        let before = self.unsynced_before.min(self.unsynced.written.len());
        let dropped = self.unsynced.drop_effects(before);
        for id in dropped.effects {
            self.stats.unrecorded += 1;
            self.index.settle(id);
        }
        for id in dropped.notes {
            self.index.forget_note(id);
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
    }

    /// The disk failed twice in a row.
    fn fail(&mut self, error: &io::Error, now: Now) {
        self.active = None;
        match self.config.on_failure {
            OnFailure::Bypass => self.bypass(error, now),
            OnFailure::Exit => {
                let why = Report(error).to_string();
                error!(error = %why, "The journal has failed.");
                self.note_error(error);
                self.mode = Mode::Failed { why: why.into() };
            }
        }
    }

    fn bypass(&mut self, error: &io::Error, now: Now) {
        if self.mode == Mode::Working {
            error!(error = %Report(error), "The journal cannot be written; effects are not recorded.");
        }
        self.note_error(error);
        self.mode = Mode::Bypassed {
            why: Report(error).to_string().into(),
            again_at: now.at + AGAIN_AFTER,
        };
    }

    pub(super) fn note_error(&mut self, error: &io::Error) {
        self.stats.last_error = Some(Report(error).to_string().into());
    }

    pub(in crate::journal) fn progress(&self) -> Progress {
        Progress {
            written: self.log.next - 1,
            durable: self.log.durable,
        }
    }

    pub(in crate::journal) fn health(&self) -> Health {
        match (&self.mode, &self.degraded) {
            (Mode::Failed { why }, _) => Health::Failed { why: why.clone() },
            (Mode::Bypassed { why, .. }, _) => Health::Bypass { why: why.clone() },
            _ if self.watch.is_low => Health::Bypass {
                why: "the disk is nearly full".into(),
            },
            _ if self.is_full() => Health::Full,
            (Mode::Working, Some(why)) => Health::Degraded { why: why.clone() },
            (Mode::Working, None) => Health::Ok,
        }
    }

    pub(in crate::journal) fn stats(&mut self) -> &Stats {
        self.stats.live = self.index.live();
        self.stats.dead = self.index.dead();
        self.stats.bytes = self.index.bytes();
        self.stats.segments = self.index.segments.len() as u64;
        self.stats.owed = self.owed.len() as u64;
        self.stats.compacting = self.is_compacting();
        self.stats.disk_free = self.watch.space.free;
        self.stats.disk_total = self.watch.space.total;
        &self.stats
    }
}

/// The effect in `line`, if that is its record.
pub(in crate::journal) fn stored(
    id: EffectId,
    line: &[u8],
    salt: Salt,
    older: &[OlderFormat],
) -> Option<Stored> {
    let (line, frame) = scan::current(line, salt, older)?;
    let record = record::parse(&line, &frame)?;
    match record.payload {
        Payload::Effect(effect) if frame.id == id.as_uuid() => {
            let effect = effect.to_effect(id, record.t)?;
            Some(Stored { effect })
        }
        _ => None,
    }
}

/// Whether the bytes are gone; any other error may pass.
fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | UnexpectedEof)
}
