//! The index, which may be one batch behind what is written.
//!
//! What a batch changes in it takes as long as a tenth of a sync, and whoever waits
//! for that batch has no need of it. So it is told of the batch after the answers;
//! or before anything asks it, where something is not as it should be.

use std::ops::{Deref, DerefMut};

use super::super::segment::Segment;
use super::batch::Batch;
use super::index::Index;

/// See the module. It is not to be asked before it was told: in a debug build that
/// panics.
#[derive(Debug)]
pub(in crate::journal) struct Behind {
    index: Index,
    pending: Option<Pending>,
}

/// Where the records stand that it was not told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// The first of them, among those that are not synced.
    pub(super) from: usize,
    pub(super) segment: u32,
    /// Where the first byte of what is not synced would stand in that segment: it
    /// may stand in another, and then this is below zero, and wraps.
    pub(super) base: u64,
    /// Where the last of them ends.
    pub(super) end: u64,
    pub(super) now_ms: u64,
}

impl Behind {
    pub(super) fn new(index: Index) -> Self {
        Self {
            index,
            pending: None,
        }
    }

    /// It is to be told of these.
    pub(super) fn note(&mut self, pending: Pending) {
        debug_assert!(self.pending.is_none(), "one batch at a time");
        self.pending = Some(pending);
    }

    /// Tells it of what it is behind; `unsynced` holds that.
    pub(super) fn tell(&mut self, unsynced: &mut Batch) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        debug_assert!(pending.from < unsynced.written.len(), "they are kept");
        let written = unsynced.written.get_mut(pending.from..).unwrap_or_default();
        let Pending { segment, base, .. } = pending;
        self.index.apply(written, segment, base, pending.now_ms);
        if let Some(segment) = self.index.segment(segment) {
            segment.bytes = pending.end;
        }
    }

    /// The segment that is written, for its name: that needs not be told.
    pub(super) fn last(&self) -> Option<&Segment> {
        self.index.segments.back()
    }
}

impl Deref for Behind {
    type Target = Index;

    fn deref(&self) -> &Index {
        debug_assert!(self.pending.is_none(), "asked before it was told");
        &self.index
    }
}

impl DerefMut for Behind {
    fn deref_mut(&mut self) -> &mut Index {
        debug_assert!(self.pending.is_none(), "changed before it was told");
        &mut self.index
    }
}
