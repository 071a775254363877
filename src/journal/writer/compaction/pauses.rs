//! When a piece is copied: each takes the disk as long as an append does.
//!
//! So while appends come thick the pieces wait for a pause; but not where an operator
//! asked for them, nor once the journal has a quarter of what it may take, or of what
//! the disk has for it.

use std::time::{Duration, Instant};

use super::super::super::storage::Storage;
use super::super::core::Core;
use super::super::now::Now;

/// So long after an append nothing is copied, if that can wait.
const QUIET: Duration = Duration::from_millis(50);

/// With so much it waits for no pause, however large the journal may get: all of it
/// is read at the next start.
const WAITING_MAX: u64 = if cfg!(test) { 512 << 10 } else { 512 << 20 };

impl<S: Storage> Core<S> {
    /// Whether a segment is being emptied.
    pub(in super::super) fn is_compacting(&self) -> bool {
        self.compaction.source.is_some() && !self.compaction.is_waiting
    }

    /// When the next piece is copied, if there is one.
    pub(in super::super) fn compaction_due(&self) -> Option<Instant> {
        let source = self.compaction.source.as_ref()?;
        let quiet_at = self
            .compaction
            .quiet_at
            .filter(|_| self.can_wait(source.id));
        Some(quiet_at.map_or(source.again_at, |at| at.max(source.again_at)))
    }

    /// An append was answered, whatever it came to, or is being synced.
    pub(in crate::journal) fn note_append(&mut self, now: Now) {
        self.compaction.quiet_at = Some(now.at + QUIET);
    }

    /// Whether emptying this segment waits for a pause.
    fn can_wait(&self, id: u32) -> bool {
        let is_asked = self.compaction.at_once_to.is_some_and(|to| id <= to);
        let free = self.watch.free_above_low_water(&self.config);
        let room = self.config.bytes_max.min(free);
        !is_asked && self.index.bytes() < (room / 4).min(WAITING_MAX)
    }

    /// Whether it waits for a pause now.
    pub(super) fn waits(&self, now: Now) -> bool {
        let source = self.compaction.source.as_ref();
        source.is_some_and(|source| source.again_at <= now.at)
            && self.compaction_due().is_some_and(|due| now.at < due)
    }
}
