//! What the journal tells about itself.

use std::time::Duration;

/// How far the journal is, in record numbers.
///
/// Numbers of records that were written and are not durable may be given again
/// after a failed sync, to the same records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last record written.
    pub written: u64,
    /// The last record on stable storage.
    pub durable: u64,
}

/// Whether the journal can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ok,
    /// It can, and a person should know something.
    Degraded {
        /// What.
        why: Box<str>,
    },
    /// It takes no effects for now, and tries again by itself.
    Bypass {
        /// Why not.
        why: Box<str>,
    },
    /// It takes no effects until its directory is back at its path.
    Astray {
        /// What became of it.
        why: Box<str>,
    },
    /// It takes no effects until enough of them are settled.
    Full,
    /// It has ended.
    Failed {
        /// Why.
        why: Box<str>,
    },
}

/// Why a journal is [`Health::Degraded`] that has lost something; beside that there
/// may be other reasons.
pub const DAMAGED: &str = "records that were on disk are damaged; see quarantine";

impl Health {
    /// Whether effects are taken.
    #[must_use]
    pub fn admits(&self) -> bool {
        matches!(self, Self::Ok | Self::Degraded { .. })
    }
}

/// Upper bounds of the histogram's buckets, in microseconds; above the last is
/// one more.
pub const BUCKETS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];

/// How long something took, how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Not cumulative; the last counts what is over all bounds.
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// All of them.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// The longest.
    pub max: Duration,
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += took;
        self.max = self.max.max(took);
    }
}

/// Counters and sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records written since it was opened.
    pub records: u64,
    /// Effects not settled, dead letters included.
    pub live: u64,
    /// Effects that wait for an operator.
    pub dead: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// What [`Self::bytes`] may reach.
    pub bytes_max: u64,
    /// Segment files.
    pub segments: u64,
    /// How long syncs took.
    pub syncs: Histogram,
    /// Batches written.
    pub batches: u64,
    /// Losses that the quarantine tells of, or would; they count until somebody removes
    /// them there.
    pub quarantined: u64,
    /// Of these, losses that it does not tell of yet, for the disk did not take that.
    pub untold: u64,
    /// What is not here any more although it held effects, and what to do.
    pub missed: Option<Box<str>>,
    /// Effects that could not be recorded.
    pub unrecorded: u64,
    /// Settled effects whose record waits for the disk.
    pub owed: u64,
    /// Segments moved and removed to gain space.
    pub compactions: u64,
    /// Whether space is being gained right now.
    pub compacting: bool,
    /// Why the last compaction that was asked for found nothing to gain.
    pub no_gain: Option<Box<str>>,
    /// Segments given up because a sync failed.
    pub poisoned: u64,
    /// Free bytes of the filesystem, when last looked.
    pub disk_free: u64,
    /// Bytes of the filesystem.
    pub disk_total: u64,
    /// What went wrong last; it stays when all is well again.
    pub last_error: Option<Box<str>>,
    /// When that was, in milliseconds since the epoch.
    pub last_error_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        let mut times = Histogram::default();
        for us in [100, 101, 2_000_000] {
            times.record(Duration::from_micros(us));
        }
        assert_eq!((times.buckets[0], times.buckets[1]), (1, 1));
        assert_eq!(times.buckets[BUCKETS_US.len()], 1);
        assert_eq!(times.max, Duration::from_secs(2));
    }
}
