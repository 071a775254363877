//! Time that is told.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::clock;

/// Time that passes when it is told to; one for all lives of a Falco.
pub(crate) struct Time {
    pub(super) runtime: Runtime,
    begun: Instant,
    /// Since it began.
    since: Duration,
}

impl Time {
    pub(crate) fn new() -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        clock::played::set(Duration::ZERO);
        let inside = runtime.enter();
        let begun = tokio::time::Instant::now().into_std();
        drop(inside);
        Self {
            runtime,
            begun,
            since: Duration::ZERO,
        }
    }

    pub(crate) fn advance_to(&mut self, since: Duration) {
        if self.since < since {
            let passed = since.saturating_sub(self.since);
            let inside = self.runtime.enter();
            // What it would wait for are other tasks, and there are none.
            _ = tokio::time::advance(passed).now_or_never();
            drop(inside);
            self.since = since;
            clock::played::set(since);
        }
    }

    /// As the lanes and the journal have it.
    pub(crate) fn now(&self) -> (Instant, u64) {
        (self.begun + self.since, clock::now_ms())
    }

    /// How long after the beginning that is, but no less than now.
    pub(crate) fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.begun).max(self.since)
    }
}
