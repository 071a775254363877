//! The outbox on disk: what was accepted and is not settled.
//!
//! Owns one directory, where nobody else writes, and two threads: one writes, the
//! other only syncs, while large appends come thick. An effect that was recorded
//! comes back after any crash, whole: its channel, name, route, key, place in the
//! order of arrival, and the very bytes of its payload.
//!
//! ```text
//! append ──drafts──queue──▶ thread ──one write, one sync a batch──▶ segment ──▶ receipts
//!                             │
//!                             └─ in between: rotate, empty old segments, watch the disk
//! ```
//!
//! | file | what |
//! |---|---|
//! | `LOCK` | locked while it is open; says by whom |
//! | `ID` | what tells it from another in its place; who is to miss it if it is gone has a [mark](Home::marked_in) |
//! | `seg-<first number, 16 hex>.jsonl` | records, one a line; the highest is written, the others never again |
//! | `next-<uuid>.tmp` | the next segment's file, still without a record |
//! | `reserve.bin` | space kept back for what settles effects on a full disk |
//! | `quarantine/` | damaged bytes, each with a report |
//! | `inbox/` | other programs' business |
//!
//! The list of files is all there is to know: no pointer, ledger or checkpoint
//! can disagree with it. `record` has the format byte for byte, `recovery`
//! how it is read, `writer` how it is written and what happens when that
//! fails.
//!
//! Promises that what is read after a crash is what some beginning of the log
//! comes to, with at least everything that was durable in it; that a record is
//! the whole and unaltered, or not at all; that a failed sync is never taken for
//! a success by trying again; that the same files always give the same answer.
//!
//! | bound | when it is reached |
//! |---|---|
//! | 8192 records or 32 MiB queued | [`Journal::append`] waits |
//! | 16 appends or 2 MiB written and being synced | the next waits for the first of them |
//! | 4 MiB a record | [`Unrecorded::TooLarge`] |
//! | a quarter of [`Config::bytes_max`] in all segments, or of the room above the low water; 512 MiB | segments are emptied also while appends come thick |
//! | four fifths of [`Config::bytes_max`] in all segments | ids that were settled are forgotten |
//! | [`Config::bytes_max`], and what settles what they hold | no effect is taken; settling goes on |
//! | what the system lets a file have | the next segment begins; what fits in none is refused |
//! | low water of the disk | no effect is taken; settling goes on, from the reserve if need be; what is mostly settled is emptied |
//!
//! Never publishes, never evicts what is not settled, never changes a record
//! that was written, never follows a link.
//!
//! Stops by [`Journal::close`], or when the last handle is gone: the queue is
//! written, its end marked and synced, the lock released.

mod clock;
mod config;
mod draft;
mod entry;
mod error;
mod fold;
mod handle;
mod lines;
mod look;
mod quarantine;
mod reading;
mod record;
mod recovery;
mod report;
mod scan;
mod segment;
mod stamp;
mod stats;
mod storage;
mod writer;

#[cfg(fuzzing)]
pub mod fuzz;

#[cfg(test)]
pub(crate) mod played;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::{error, info, warn};

pub use config::{Config, OnFailure, Sync};
pub use entry::{
    DeadLetter, Done, Effect, Entry, Live, Note, ReadBack, Recovered, Settled, State, Stored,
};
pub use error::{Closed, OpenError, TryAppendError, Unreadable, Unrecorded};
pub use handle::{Appended, Journal, Receipt, Round};
pub use look::{Look, verify};
pub use reading::Reading;
pub use report::{Class, Damage, Report};
pub use stats::{BUCKETS_US, DAMAGED, Health, Histogram, Progress, Stats};
pub use storage::Home;

use clock::Clock;
use fold::Fold;
use scan::OlderFormat;
use stamp::Forecast;
use storage::{Disk, Mark, Seen, Storage};
use writer::{Core, Ends, Now};

/// Gaps in the numbers that the log names; the quarantine has all of them.
const MISSING_TOLD_MAX: usize = 20;

/// Where other programs leave effects; the journal never looks there.
pub const INBOX: &str = "inbox";

impl Journal {
    /// Opens the journal in `directory`, makes it if there is none, and
    /// recovers what it holds. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing was changed then.
    pub fn open(directory: &Path, config: &Config) -> Result<(Self, Recovered), OpenError> {
        Self::open_watched(directory, config, &Reading::default(), &Home::default())
    }

    /// As [`Self::open`]; `reading` says meanwhile how far it is, and of the
    /// journals of one `home` all are opened in the same directory.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing was changed then.
    pub fn open_watched(
        directory: &Path,
        config: &Config,
        reading: &Reading,
        home: &Home,
    ) -> Result<(Self, Recovered), OpenError> {
        let disk = Disk::open(directory, home)?;
        let (mut core, recovered) = open_on(disk, config, Now::read(), reading)?;
        let seen = Seen::by(&recovered.report, core.progress().durable);
        let mut mark = Mark::leave(home, seen);
        core.set_missed(mark.as_mut().and_then(Mark::missed));
        Ok((start(core, home.clone(), mark)?, recovered))
    }
}

/// Whether [`Journal::open`] would take `directory`, as far as owners, modes and
/// kinds tell, and not what is in its files; changes nothing. One that is not
/// there would be made.
///
/// # Errors
///
/// As [`Journal::open`].
pub fn examine(directory: &Path) -> Result<(), OpenError> {
    match Disk::examine(directory) {
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        examined => examined,
    }
}

/// How many losses the quarantine in `directory` tells of; changes nothing.
#[must_use]
pub fn losses(directory: &Path) -> u64 {
    Disk::look(directory).map_or(0, |disk| quarantine::losses_or_one(&disk))
}

/// Since when what is settled is remembered, by which clock.
fn done_since(config: &Config, clock: Clock, now: Now) -> (u64, Clock) {
    let horizon = config.dedupe_horizon.as_millis();
    let horizon = u64::try_from(horizon).unwrap_or(u64::MAX);
    (now.ms.saturating_sub(horizon), clock)
}

/// Recovers what `storage` holds, repairs it, and makes it ready to go on.
fn open_on<S: Storage>(
    storage: S,
    config: &Config,
    now: Now,
    reading: &Reading,
) -> Result<(Core<S>, Recovered), OpenError> {
    open_older(storage, config, now, reading, scan::OLDER)
}

/// The same, of what these formats may be in.
fn open_older<S: Storage>(
    storage: S,
    config: &Config,
    now: Now,
    reading: &Reading,
    older: &'static [OlderFormat],
) -> Result<(Core<S>, Recovered), OpenError> {
    let begun = Instant::now();
    let clock = Clock::read(storage.life(), now);
    let since = done_since(config, clock, now);
    let mut read = recovery::read_watched(&storage, since, older, reading)?;
    let repaired = recovery::repair(&storage, &mut read, now.ms);
    let report = read.report.clone();
    tell(&report, &repaired, begun);
    let (core, fold) = Core::new(storage, config.clone(), read, &repaired, now, older)?;
    let recovered = Recovered {
        is_durable: core.is_durable(),
        ..recovered(fold, report)
    };
    Ok((core, recovered))
}

fn tell(report: &Report, repaired: &recovery::Repaired, begun: Instant) {
    let ms = begun.elapsed().as_millis();
    let missing = report.damage.iter().filter_map(|d| d.missing);
    let missing: Vec<_> = missing.take(MISSING_TOLD_MAX).collect();
    let damaged = report.damage.len();
    let (records, live, done, dead) = (report.records, report.live, report.done, report.dead);
    let (torn_bytes, quarantined) = (report.torn_bytes, repaired.quarantined);
    if !report.skipped.is_empty() {
        warn!(names = ?report.skipped, "The journal does not read what is called like a segment and is none.");
    }
    if report.is_corrupt() {
        error!(
            records,
            live,
            done,
            dead,
            torn_bytes,
            quarantined,
            damaged,
            ?missing,
            ms,
            "The journal lost records that were on disk; see its quarantine."
        );
    } else {
        info!(
            records,
            live,
            done,
            dead,
            torn_bytes,
            quarantined,
            damaged,
            ?missing,
            ms,
            "The journal is read."
        );
    }
}

fn recovered(fold: Fold, report: Report) -> Recovered {
    let done = fold.done(recovery::DONE_MAX);
    let mut live: Vec<Live> = fold.live.into_values().map(|held| held.live).collect();
    live.sort_unstable_by_key(|live| live.n);
    let notes = fold.notes.into_iter();
    let mut notes: Vec<Note> = notes.map(|(id, (text, _))| Note { id, text }).collect();
    notes.sort_unstable_by_key(|note| note.id);
    Recovered {
        live,
        done,
        notes,
        is_durable: false,
        report,
    }
}

/// Starts the thread.
fn start<S: Storage>(
    mut core: Core<S>,
    home: Home,
    mark: Option<Mark>,
) -> Result<Journal, OpenError> {
    let (ends, journal) = ends(&mut core, home, mark);
    std::thread::Builder::new()
        .name("journal".into())
        .spawn(move || writer::run(core, ends))
        .map_err(OpenError::Thread)?;
    Ok(journal)
}

/// What the thread has of what it shares, and the first handle.
fn ends<S: Storage>(core: &mut Core<S>, home: Home, mark: Option<Mark>) -> (Ends, Journal) {
    let (commands, queue) = handle::commands();
    let (progress, progress_seen) = watch::channel(core.progress());
    let forecast = Arc::new(Forecast::default());
    let (health, health_seen) = watch::channel(core.health());
    let (stats, stats_seen) = watch::channel(core.stats().clone());
    let ends = Ends {
        commands: queue,
        forecast: Arc::clone(&forecast),
        progress,
        health,
        stats,
        home,
        mark,
    };
    let journal = Journal::new(commands, forecast, progress_seen, health_seen, stats_seen);
    (ends, journal)
}
