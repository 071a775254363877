//! How far the reading of a journal is, for whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Clones tell of the same reading.
#[derive(Debug, Clone, Default)]
pub struct Reading(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    records: AtomicU64,
    bytes: AtomicU64,
    bytes_all: AtomicU64,
}

impl Reading {
    /// Records read so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.records.load(Relaxed)
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Bytes there are to read.
    #[must_use]
    pub fn bytes_all(&self) -> u64 {
        self.0.bytes_all.load(Relaxed)
    }

    /// It begins, perhaps for a second time.
    pub(super) fn begin(&self, bytes_all: u64) {
        self.0.records.store(0, Relaxed);
        self.0.bytes.store(0, Relaxed);
        self.0.bytes_all.store(bytes_all, Relaxed);
    }

    pub(super) fn count_record(&self, bytes: u64) {
        self.0.records.fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(bytes, Relaxed);
    }
}
