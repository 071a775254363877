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
//!  └─ fails again: Bypass ─▶ bypassed ── every 10 s, or room again ──▶ working
//! ```
//!
//! And astray, for as long as its directory is not at its path.

mod ahead;
mod astray;
mod away;
mod commit;
mod encode;
mod read;
mod segments;
mod sync;
mod tail;
mod told;
mod write;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::super::clock::Clock;
use super::super::config::{Config, Sync};
use super::super::draft::Drafts;
use super::super::entry::Settled;
use super::super::error::{OpenError, Unrecorded};
use super::super::fold::Fold;
use super::super::handle::{Appended, Round};
use super::super::recovery::{Read, Repaired};
use super::super::report::Report;
use super::super::scan::OlderFormat;
use super::super::segment::Segment;
use super::super::stats::{DAMAGED, Stats};
use super::super::storage::{Storage, StoredFile};
use super::active::{Active, Nursery};
use super::batch::Batch;
use super::behind::Behind;
use super::compaction::Compaction;
use super::index::Index;
use super::now::Now;
use super::pace::Pace;
use super::space::{self, Watch};
use ahead::Ahead;
use away::Away;
pub(in crate::journal) use read::stored;
use tail::Tail;

/// In interval mode, written bytes that are synced before their time.
const DIRTY_MAX: usize = 1 << 20;

/// With [`Sync::Always`], how long what only says that effects were published
/// may wait for a batch that has to be synced.
const SETTLED_MAX: Duration = Duration::from_millis(50);

/// Entries of one append, and who waits for them.
#[derive(Debug)]
pub(in crate::journal) struct Job {
    pub(in crate::journal) drafts: Drafts,
    pub(in crate::journal) round: Option<Round>,
    pub(in crate::journal) answer: oneshot::Sender<Result<Appended, Unrecorded>>,
}

/// Whether there is a disk to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Working,
    Bypassed {
        why: Box<str>,
        again_at: Instant,
        /// There was no room: as soon as there is, it is tried again.
        for_room: bool,
    },
    /// The directory is not where it was: nothing is taken until it is back.
    Astray {
        why: Box<str>,
    },
    Failed {
        why: Box<str>,
    },
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

/// The state of an open journal.
pub(in crate::journal) struct Core<S: Storage> {
    pub(super) storage: S,
    pub(super) config: Config,
    pub(super) index: Behind,
    /// By which the segment is written that is written.
    clock: Clock,
    pub(super) log: Log,
    pub(super) mode: Mode,
    pub(super) watch: Watch,
    pub(super) stats: Stats,
    pub(super) compaction: Compaction,
    /// That records were found damaged at the start, until nothing in the
    /// quarantine tells of a loss any more.
    pub(super) damaged: Option<Box<str>>,
    /// Which files may have what is lost and are not read.
    unread: Option<Box<str>>,
    pub(super) degraded: Option<Box<str>>,
    /// Why effects were refused that fit in no file, until as much has.
    pub(super) limited: Option<Box<str>>,
    /// The shortest of those batches; drafts go together up to half of that.
    pub(super) too_long: usize,
    pub(super) active: Option<Active<S::File>>,
    nursery: Nursery<S::File>,
    /// The record that the next segment follows, and its checksum, if that is
    /// not the last one given: what stood in between is written again in it.
    follows: Option<(u64, u32)>,
    /// When what tells of losses had last changed when they were counted, and
    /// when that was.
    counted: Option<(SystemTime, Instant)>,
    /// When it was last seen that files are where they were.
    looked_around: Option<Instant>,
    away: Option<Away<S::File>>,
    /// A segment that is read only and not where it was.
    missing: Option<Box<str>>,
    /// The batch that is made.
    pub(super) batch: Batch,
    /// What was written since the last sync.
    pub(super) unsynced: Batch,
    /// How much of that nobody waits for any more: it must not be refused.
    unsynced_before: usize,
    owed: VecDeque<Settled>,
    /// The last round in which effects were refused, and why: what follows in it
    /// must not overtake them.
    refused: Option<(Round, Unrecorded)>,
    pace: Pace,
    ahead: Ahead<<S::File as StoredFile>::Sync>,
    /// When the first of what is not synced was written.
    dirty_since: Instant,
    pub(super) older: &'static [OlderFormat],
}

impl<S: Storage> Core<S> {
    /// Goes on where `read` ended, with a new segment if there is room for it.
    ///
    /// # Errors
    ///
    /// When what was read a moment ago cannot be read any more.
    pub(in crate::journal) fn new(
        storage: S,
        config: Config,
        read: Read,
        repaired: &Repaired,
        now: Now,
        older: &'static [OlderFormat],
    ) -> Result<(Self, Fold), OpenError> {
        let tail = match read.last_readable() {
            Some(last) => read_tail(&storage, last, &read.report, older)?,
            None => None,
        };
        let (log, follows, unsynced) = log_after(tail, &read);
        let index = Behind::new(Index::of(&read.fold, read.segments));
        let clock = Clock::read(storage.life(), now);
        let stats = Stats {
            bytes_max: config.bytes_max,
            quarantined: repaired.quarantined,
            untold: repaired.untold,
            ..Stats::default()
        };
        let mut core = Self {
            storage,
            config,
            index,
            clock,
            log,
            mode: Mode::Working,
            watch: Watch::new(),
            stats,
            compaction: Compaction::default(),
            damaged: None,
            unread: None,
            degraded: None,
            limited: None,
            too_long: usize::MAX,
            active: None,
            nursery: Nursery::new(),
            follows,
            counted: None,
            looked_around: None,
            away: None,
            missing: None,
            batch: Batch::default(),
            unsynced_before: unsynced.written.len(),
            unsynced,
            owed: VecDeque::new(),
            refused: None,
            pace: Pace::default(),
            ahead: Ahead::new(now),
            dirty_since: now.at,
            older,
        };
        if read.report.is_corrupt() {
            core.damaged = Some(DAMAGED.into());
            core.unread = told::unread(&read.report);
        }
        if let Some(error) = &repaired.error {
            core.note_error(error);
            // That it is full it says for as long as it is.
            let stays = !space::is_full(error);
            core.degraded = stays.then(|| format!("the disk refuses repairs: {error}").into());
        }
        core.prepare(now);
        Ok((core, read.fold))
    }

    /// What records say that it is.
    pub(super) fn ms(&self, now: Now) -> u64 {
        self.clock.ms(now.boot)
    }

    /// Does what is due by now.
    pub(in crate::journal) fn tick(&mut self, now: Now) {
        self.come_to_rest(now);
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
        self.has_rested(now);
    }

    /// When [`Self::tick`] has something to do.
    pub(in crate::journal) fn due(&self, now: Now) -> Instant {
        if self.is_under_way() {
            return now.at;
        }
        let idle = now.at
            + match (&self.mode, self.watch.is_low || self.is_full()) {
                (Mode::Working, false) if self.index.live() == 0 && self.stats.missed.is_none() => {
                    Duration::from_secs(60)
                }
                // What is kept is looked after.
                (Mode::Working, false) => Duration::from_secs(5),
                _ => Duration::from_secs(1),
            };
        let others = [self.sync_due(), self.compaction_due()];
        others.into_iter().flatten().fold(idle, Instant::min)
    }

    fn sync_due(&self) -> Option<Instant> {
        let patience = match self.config.sync {
            Sync::Always => SETTLED_MAX,
            Sync::Interval(every) => every,
        };
        let can_sync = self.active.is_some() && !self.unsynced.is_empty();
        can_sync.then(|| self.dirty_since + patience)
    }

    /// How long a batch of this many records should wait for more.
    pub(in crate::journal) fn hold(&self, records: usize) -> Option<Duration> {
        match self.config.sync {
            Sync::Always => self.pace.hold(records),
            Sync::Interval(_) => None,
        }
    }

    /// Whether nothing that was written could be lost.
    pub(in crate::journal) fn is_durable(&self) -> bool {
        self.unsynced.is_empty() && !self.is_under_way()
    }

    /// Whether it knows of something settled that the disk has not taken.
    #[cfg(test)]
    pub(in crate::journal) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    pub(in crate::journal) fn has_failed(&self) -> bool {
        matches!(self.mode, Mode::Failed { .. })
    }
}

fn read_tail<S: Storage>(
    storage: &S,
    last: &Segment,
    report: &Report,
    older: &[OlderFormat],
) -> Result<Option<Tail>, OpenError> {
    Tail::of(storage, last, report, older).map_err(|source| OpenError::Read {
        path: storage.path(&last.name()),
        offset: 0,
        source,
    })
}

/// Where the log goes on, behind what, and what of it is still to be made
/// durable.
fn log_after(tail: Option<Tail>, read: &Read) -> (Log, Option<(u64, u32)>, Batch) {
    let (durable, durable_crc, unsynced) = match tail {
        Some(tail) => (tail.durable, tail.durable_crc, tail.batch),
        None => (read.report.last_seq, read.last_crc, Batch::default()),
    };
    // A file that nobody can read has its name all the same.
    let taken = read.segments.last().map_or(0, |last| last.first);
    let follows = (durable < taken).then_some((durable, durable_crc));
    let log = Log {
        next: durable.max(taken) + 1,
        crc: durable_crc,
        durable,
        durable_crc,
    };
    (log, follows, unsynced)
}
