//! What is told of it.

use super::super::super::report::Report;
use super::super::super::stats::{Health, Progress, Stats};
use super::super::super::storage::Storage;
use super::{Core, Mode};

/// What a person should know of a journal that lost something.
pub(super) fn damaged(report: &Report) -> Box<str> {
    let skipped = report.skipped.join(", ");
    match &*skipped {
        "" => "records that were on disk are damaged; see quarantine".into(),
        skipped => format!("records that were on disk are missing, and {skipped} is not read: it has no segment's name, or is no plain file").into(),
    }
}

impl<S: Storage> Core<S> {
    pub(in crate::journal) fn progress(&self) -> Progress {
        Progress {
            written: self.log.next - 1,
            durable: self.log.durable,
        }
    }

    pub(in crate::journal) fn health(&self) -> Health {
        // Whoever has removed the last of them there has seen to them.
        let damaged = self.damaged.as_ref().filter(|_| 0 < self.stats.quarantined);
        let rest = [&self.degraded, &self.limited].map(Option::as_ref);
        let told = [self.missing.as_ref(), damaged].into_iter().chain(rest);
        match (&self.mode, told.flatten().next()) {
            (Mode::Failed { why }, _) => Health::Failed { why: why.clone() },
            (Mode::Astray { why }, _) => Health::Astray { why: why.clone() },
            _ if self.watch.is_low => Health::Bypass {
                why: self.watch.why(&self.config),
            },
            (Mode::Bypassed { why, .. }, _) => Health::Bypass { why: why.clone() },
            _ if self.is_full() => Health::Full,
            (Mode::Working, Some(why)) => Health::Degraded { why: why.clone() },
            (Mode::Working, None) => Health::Ok,
        }
    }

    /// Another journal is missed.
    pub(in crate::journal) fn set_missed(&mut self, missed: Option<Box<str>>) {
        self.stats.missed = missed;
    }

    pub(in crate::journal) fn stats(&mut self) -> &Stats {
        self.stats.live = self.index.live();
        self.stats.dead = self.index.dead();
        self.stats.bytes = self.index.bytes();
        self.stats.segments = self.index.segments.len() as u64;
        self.stats.owed = self.owed.len() as u64;
        self.stats.compacting = self.is_compacting();
        self.stats.disk_free = self.watch.space.free;
        self.stats.disk_total = self.watch.space.total;
        &self.stats
    }
}
