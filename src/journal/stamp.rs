//! What a place in the log tells of the records there; and where the next append
//! will likely stand, so that its lines can be finished before the journal's
//! thread has them.
//!
//! That is only a forecast: somebody else may append at the same moment, a segment
//! may end, the disk may refuse what is before it. The thread knows better, and
//! makes anew what does not fit.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::record::{Blanks, Salt};

/// What the records of a batch are encoded with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) salt: Salt,
    /// The number of the first record.
    pub(super) first: u64,
    /// What is durable by then; only the first record of a batch says so.
    pub(super) durable: Option<u64>,
    pub(super) now_ms: u64,
}

impl Stamp {
    /// That of what follows so many records.
    pub(super) fn behind(self, records: u64) -> Self {
        Self {
            first: self.first.wrapping_add(records),
            durable: self.durable.filter(|_| records == 0),
            ..self
        }
    }

    /// What is told of the effect at this position.
    pub(super) fn blanks(self, at: usize) -> Blanks {
        let q = self.first.wrapping_add(at as u64);
        Blanks {
            salt: self.salt,
            q,
            number: q,
            durable: self.durable.filter(|_| at == 0),
        }
    }

    /// The same of what has a time in place of an `n`.
    pub(super) fn timed_blanks(self, at: usize) -> Blanks {
        Blanks {
            number: self.now_ms,
            ..self.blanks(at)
        }
    }
}

/// What the thread tells whoever appends.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    /// The number of the next record that is written.
    next: AtomicU64,
    /// Records that are queued or being written.
    queued: AtomicU64,
    /// What checksums begin with in the segment that is written.
    salt: AtomicU64,
}

impl Forecast {
    /// Queues so many records; tells where they will stand.
    pub(super) fn queue(&self, records: u64) -> Stamp {
        let before = self.queued.fetch_add(records, Relaxed);
        let first = self.next.load(Relaxed).wrapping_add(before);
        Stamp {
            salt: Salt::new(self.salt.load(Relaxed)),
            first,
            // Mostly so where somebody waits for that; else it is filled in anew.
            durable: Some(first.wrapping_sub(1)),
            now_ms: crate::clock::now_ms(),
        }
    }

    /// So many of them are queued no more; `next` is what comes next.
    pub(super) fn done(&self, records: u64, next: Stamp) {
        self.next.store(next.first, Relaxed);
        self.queued.fetch_sub(records, Relaxed);
        self.salt.store(next.salt.value, Relaxed);
    }
}
