//! What there is to say of the outbox.

use super::Keeper;
use crate::journal::{BUCKETS_US, Health, Histogram, OnFailure};
use crate::protocol::outbox::OutboxStatus;

impl Keeper {
    /// What there is to say of it.
    pub(in super::super) fn status(&self) -> OutboxStatus {
        let backlog = self.outbox.backlog();
        let now = crate::clock::now_ms();
        let age = |at: u64| now.saturating_sub(at);
        let mut status = OutboxStatus {
            state: self.state().to_owned(),
            why: self.why(),
            depth: backlog.open as u64,
            dead: backlog.dead as u64,
            lanes: backlog.lanes as u64,
            parked: backlog.parked as u64,
            oldest_age_ms: backlog.oldest_ms.map_or(0, age),
            published: self.published,
            died: self.died,
            unrecorded: self.unrecorded,
            around: self.around,
            effects_max: self.config.effects_max as u64,
            unrouted: self.unrouted.count,
            ..OutboxStatus::default()
        };
        status.recovering = (!self.has_read()).then(|| self.recovering());
        if let Some(journal) = self.stage.journal() {
            let stats = journal.stats();
            status.bytes = stats.bytes;
            status.bytes_max = stats.bytes_max;
            status.disk_free = stats.disk_free;
            status.segments = stats.segments;
            status.quarantined = stats.quarantined;
            status.untold = stats.untold;
            status.missed = stats.missed.map(Into::into);
            status.compactions = stats.compactions;
            status.compacting = stats.compacting;
            status.syncs = stats.syncs.count;
            status.sync_us = u64::try_from(stats.syncs.sum.as_micros()).unwrap_or(u64::MAX);
            status.sync_max_us = u64::try_from(stats.syncs.max.as_micros()).unwrap_or(u64::MAX);
            status.sync_buckets = buckets(&stats.syncs);
            status.last_error = stats.last_error.map(Into::into);
            status.last_error_ms = stats.last_error_ms;
        }
        status
    }

    /// One word for how it is.
    fn state(&self) -> &'static str {
        match self.stage.health() {
            _ if self.is_overdue() => "degraded",
            _ if !self.has_read() => "recovering",
            None | Some(Health::Failed { .. }) => "failed",
            _ if self.why_hung().is_some() => "degraded",
            Some(Health::Ok | Health::Degraded { .. })
                if self.config.records && self.has_all_effects() =>
            {
                "full"
            }
            Some(Health::Ok) if self.config.records => "ok",
            Some(Health::Ok) if self.outbox.backlog().open == 0 => "drained",
            Some(Health::Ok) => "draining",
            Some(Health::Degraded { .. }) => "degraded",
            // Without leave to go around it, effects are refused.
            Some(Health::Bypass { .. }) if self.config.journal.on_failure == OnFailure::Exit => {
                "low"
            }
            Some(Health::Bypass { .. }) => "bypass",
            Some(Health::Astray { .. }) => "astray",
            Some(Health::Full) => "full",
        }
    }

    /// Why it is not as it should be.
    pub(super) fn why(&self) -> Option<String> {
        if self.is_overdue() {
            return Some(self.why_unread());
        }
        let health = self.stage.health()?;
        let why_hung = self.why_hung();
        match health {
            Health::Failed { why } => Some(why.into()),
            _ if why_hung.is_some() => why_hung,
            Health::Ok | Health::Degraded { .. }
                if self.config.records && self.has_all_effects() =>
            {
                let text = "it has its max_effects: no effect is kept until others are published or dropped";
                Some(text.to_owned())
            }
            Health::Ok => None,
            Health::Degraded { why } | Health::Bypass { why } | Health::Astray { why } => {
                Some(why.into())
            }
            Health::Full => Some(
                "it has its max_bytes: no effect is kept until others are published or dropped"
                    .to_owned(),
            ),
        }
    }
}

/// Upper bounds in microseconds, and how many were within.
fn buckets(histogram: &Histogram) -> Vec<(u64, u64)> {
    BUCKETS_US.into_iter().zip(histogram.buckets).collect()
}
