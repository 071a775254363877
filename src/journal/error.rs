//! What can go wrong, by what was asked for.

use std::io;
use std::path::PathBuf;

use super::entry::Entry;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error("journal {} is in use by {holder}", path.display())]
    Locked {
        /// The journal's directory.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: Box<str>,
    },
    /// Others could change it.
    #[error("journal {} is not private: {reason}", path.display())]
    Insecure {
        /// What is open to others.
        path: PathBuf,
        /// In what way, and what to do.
        reason: &'static str,
    },
    /// It was written by a later version of this program; nothing was changed.
    #[error("journal segment {} holds format version {version} at byte {offset}; a newer falco wrote it", path.display())]
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its version.
        version: u64,
    },
    /// It was written by a later version of this program, in a way that older
    /// ones were not to notice; nothing was changed.
    #[error("journal segment {} holds at byte {offset} a whole record that this falco does not know; a newer falco wrote it", path.display())]
    UnknownRecord {
        /// The segment.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
    /// Its path leads elsewhere than it did in the same run.
    #[error("{0}")]
    Astray(String),
    /// The disk cannot be read. That is no end of a log: nothing was changed.
    #[error("failed to read journal segment {} at byte {offset}", path.display())]
    Read {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else failed.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The system has no thread to give.
    #[error("failed to start the journal's thread")]
    Thread(#[source] io::Error),
}

/// Why something is not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrecorded {
    /// Little disk space is left, and it is for settling.
    #[error("the disk is nearly full")]
    DiskLow,
    /// The journal has its full size.
    #[error("the journal is full")]
    Full,
    /// The disk failed; the journal tries again later.
    #[error("the journal's disk has failed")]
    Bypassed,
    /// No file may become long enough for it, and what came with it.
    #[error("the limit on the size of files is too low for it (ulimit -f)")]
    FileLimit,
    /// One record cannot hold it.
    #[error("a record of {bytes} bytes is over the limit")]
    TooLarge {
        /// What it would take.
        bytes: usize,
    },
    /// The disk failed for good.
    #[error("the journal has failed: {why}")]
    Failed {
        /// How.
        why: Box<str>,
    },
    /// The directory is not where it was; once it is, the journal goes on.
    #[error("{why}")]
    Astray {
        /// What became of it.
        why: Box<str>,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl Unrecorded {
    /// Whether it may be found recorded after a crash all the same: a disk that
    /// fails does not say what it has kept.
    #[must_use]
    pub fn may_come_back(&self) -> bool {
        match self {
            Self::Bypassed | Self::Failed { .. } | Self::Astray { .. } | Self::Closed => true,
            Self::DiskLow | Self::Full | Self::FileLimit | Self::TooLarge { .. } => false,
        }
    }
}

/// The journal has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal is closed")]
pub struct Closed;

/// The disk could not be read this time; that says nothing of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk cannot be read now")]
pub struct Unreadable;

/// Why entries were not queued; they come back.
#[derive(Debug, thiserror::Error)]
pub enum TryAppendError {
    /// The disk is behind; try later.
    #[error("the journal's queue is full")]
    Full(Vec<Entry>),
    /// The journal has ended.
    #[error("the journal is closed")]
    Closed(Vec<Entry>),
}
