//! When the journal syncs, how large it may get, and what a broken disk means.

use std::time::Duration;

/// When a record counts as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Once it is on stable storage: a batch is synced before it is answered.
    /// What only says that effects were published needs no sync of its own: it
    /// is synced with the next batch, or 50 ms later. A power cut in between
    /// costs duplicates, with the ids they had.
    Always,
    /// Once it is written; it is synced within this time, or at 1 MiB of what
    /// is not synced. A power cut may take that much back.
    Interval(Duration),
}

impl Sync {
    /// The usual interval: at most 20 syncs a second.
    pub const INTERVAL: Self = Self::Interval(Duration::from_millis(50));
}

/// What a journal does that can neither sync nor start a new segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It refuses effects and tries again later: whoever delivers goes on
    /// without it.
    Bypass,
    /// It ends, and its health says so: the program should end too.
    Exit,
}

/// How the journal behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When a record counts as recorded.
    pub sync: Sync,
    /// What happens when the disk fails twice in a row.
    pub on_failure: OnFailure,
    /// All segments together, with what it takes to settle what they hold; at
    /// this size no effect is taken any more. An append that has begun may go
    /// over it, and so may copies while a segment is emptied.
    pub bytes_max: u64,
    /// A segment that has reached this is closed and the next one begun. At most
    /// an eighth of [`Self::bytes_max`]: only whole segments are given back.
    pub segment_bytes_max: u64,
    /// A segment older than this is closed and the next one begun.
    pub segment_age_max: Duration,
    /// How long a settled effect's id is remembered.
    pub dedupe_horizon: Duration,
    /// With less free space than this, or than [`Self::low_water_percent`] of
    /// the filesystem, no effect is taken; what settles effects still is.
    pub low_water_bytes: u64,
    /// See [`Self::low_water_bytes`]; the larger of the two counts.
    pub low_water_percent: u8,
    /// Space kept back for what settles effects on a full disk.
    pub reserve_bytes: u64,
}

impl Config {
    /// The defaults for `sync`: who asked for durability does not want to go
    /// on without it.
    #[must_use]
    pub fn with_sync(sync: Sync) -> Self {
        let on_failure = match sync {
            Sync::Always => OnFailure::Exit,
            Sync::Interval(_) => OnFailure::Bypass,
        };
        Self {
            sync,
            on_failure,
            bytes_max: 1 << 30,
            segment_bytes_max: 64 << 20,
            segment_age_max: Duration::from_secs(24 * 3600),
            dedupe_horizon: Duration::from_secs(15 * 60),
            low_water_bytes: 256 << 20,
            low_water_percent: 2,
            reserve_bytes: 8 << 20,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::with_sync(Sync::Always)
    }
}
