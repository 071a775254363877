//! What a recovery found: the same journal always gives the same report.

use serde::{Deserialize, Serialize};

/// What reading a journal from end to end found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Segment files read.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that are whole, headers included.
    pub records: u64,
    /// Effects not settled, dead letters included.
    pub live: u64,
    /// Effects settled within the dedupe horizon.
    pub done: u64,
    /// Effects that wait for an operator.
    pub dead: u64,
    /// Bytes after the last whole record, cut off.
    pub torn_bytes: u64,
    /// Records written a second time elsewhere because their sync had failed.
    pub superseded: u64,
    /// The number of the last whole record; 0 without any.
    pub last_seq: u64,
    /// The highest record known to have been synced.
    pub durable_seq: u64,
    /// Whether it was closed in peace.
    pub clean: bool,
    /// Whether records were lost behind which nothing can be read: how many is
    /// not known then.
    #[serde(skip)]
    pub has_lost_its_end: bool,
    /// Every damaged range, in order.
    pub damage: Vec<Damage>,
    /// What is called like a segment and is not read: its name is not one we
    /// give, or it is no plain file.
    pub skipped: Vec<Box<str>>,
    /// Losses that the quarantine tells of, found now or before; only
    /// [`verify`](super::verify) counts them.
    pub quarantined: u64,
    /// What is missed of it, or in its place, so far as its marks say, for people;
    /// only [`verify`](super::verify) looks at them.
    pub missed: Option<Box<str>>,
    /// The record that its own mark says was on stable storage, if that is gone.
    pub had_seq: Option<u64>,
}

impl Report {
    /// Whether records were lost that had been on stable storage.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.damage.iter().any(|d| d.class == Class::Corrupt)
    }

    /// Records that are missing although they had been on stable storage.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lost_of(&self.damage)
    }
}

/// Records that are missing of these although they had been on stable storage.
pub(super) fn lost_of<'d>(damage: impl IntoIterator<Item = &'d Damage>) -> u64 {
    let damage = damage.into_iter();
    let corrupt = damage.filter(|d| d.class == Class::Corrupt);
    corrupt
        .filter_map(|d| d.missing)
        .map(|(first, last)| last - first + 1)
        .sum()
}

/// What a damaged range means, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Something that had been on stable storage is gone.
    Corrupt,
    /// The end of what a crash let through; nothing of it was promised.
    Torn,
    /// Bytes that are no record, while no record is missing.
    Stray,
}

/// A range of bytes that holds no valid record, or a gap between two records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The segment's file name.
    pub seg: Box<str>,
    /// Where the range begins.
    pub off: u64,
    /// Its length; 0 for a gap.
    pub len: u64,
    /// The record that should have begun here.
    pub expected_q: u64,
    /// The next valid record, if there is one.
    pub next_q: Option<u64>,
    /// The first and the last record missing, if any is.
    pub missing: Option<(u64, u64)>,
    /// SHA-256 of the range, in hex.
    pub sha256: Box<str>,
    /// What it means.
    pub class: Class,
}
