//! The outbox on disk: what was accepted and is not settled.
//!
//! Owns one directory and one thread; nobody else writes there. An effect that
//! was recorded comes back after any crash, whole: its channel, name, route,
//! key, place in the order of arrival, and the very bytes of its payload.
//!
//! ```text
//! append ──queue──▶ thread ──one write, one sync per batch──▶ segment ──▶ receipts
//! ```
//!
//! Not yet on disk: this thread keeps in memory what the interface promises.

mod config;
mod entry;
mod error;
mod handle;
mod report;
mod stats;
mod writer;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::mpsc;

use tokio::sync::watch;

pub use config::{Config, OnFailure, Sync};
pub use entry::{DeadLetter, Done, Effect, Entry, Live, Note, Recovered, State, Stored};
pub use error::{Closed, OpenError, TryAppendError, Unrecorded};
pub use handle::{Appended, Journal, Receipt};
pub use report::{Class, Damage, Report};
pub use stats::{BUCKETS_US, Health, Histogram, Progress, Stats};

use writer::Writer;

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
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| OpenError::Io {
                doing: "make journal",
                path: directory.to_owned(),
                source,
            })?;
        let (commands, queue) = mpsc::sync_channel(handle::COMMANDS_MAX);
        let (progress, progress_seen) = watch::channel(Progress::default());
        let (_, health_seen) = watch::channel(Health::Ok);
        let (stats, stats_seen) = watch::channel(Stats {
            bytes_max: config.bytes_max,
            ..Stats::default()
        });
        let writer = Writer {
            commands: queue,
            progress,
            stats,
            held: HashMap::new(),
            seq: 0,
        };
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let recovered = Recovered {
            live: Vec::new(),
            done: Vec::new(),
            notes: Vec::new(),
            report: Report::default(),
        };
        let journal = Self::new(commands, progress_seen, health_seen, stats_seen);
        Ok((journal, recovered))
    }
}

/// Reads the journal in `directory` as [`Journal::open`] would, and changes
/// nothing; it may be open meanwhile.
///
/// # Errors
///
/// See [`OpenError`].
pub fn verify(_directory: &Path) -> Result<Report, OpenError> {
    Ok(Report::default())
}
