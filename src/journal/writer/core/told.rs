//! What is told of it.

use super::super::super::report::Report;
use super::super::super::stats::{Health, Progress, Stats};
use super::super::super::storage::Storage;
use super::{Core, Mode};

/// Where else it may be: nothing that is done in the quarantine ends that.
pub(super) fn unread(report: &Report) -> Option<Box<str>> {
    let names = report.skipped.join(", ");
    let text = format!("{names} is not read: it has no segment's name, or is no plain file");
    (!names.is_empty()).then(|| text.into())
}

impl<S: Storage> Core<S> {
    pub(in crate::journal) fn progress(&self) -> Progress {
        Progress {
            written: self.log.next - 1,
            durable: self.log.durable,
        }
    }

    pub(in crate::journal) fn health(&self) -> Health {
        let told = [&self.missing, &self.damaged, &self.unread];
        let told = told.into_iter().chain([&self.degraded, &self.limited]);
        let told: Vec<&str> = told.flatten().map(AsRef::as_ref).collect();
        match &self.mode {
            Mode::Failed { why } => Health::Failed { why: why.clone() },
            Mode::Astray { why } => Health::Astray { why: why.clone() },
            _ if self.watch.is_low => Health::Bypass {
                why: self.watch.why(&self.config),
            },
            Mode::Bypassed { why, .. } => Health::Bypass { why: why.clone() },
            _ if self.is_full() => Health::Full,
            Mode::Working if told.is_empty() => Health::Ok,
            Mode::Working => Health::Degraded {
                why: told.join("; ").into(),
            },
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
