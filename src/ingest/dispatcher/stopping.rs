//! How it ends: what is on its way gets a grace, the rest an answer.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::info;

use super::Dispatcher;
use super::keeper::Keeper;

/// How long the journal may take to mark its end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// What is on its way may be answered until then.
    Draining {
        until: Instant,
    },
    /// Nothing is waited for any more.
    Over,
}

impl Dispatcher {
    /// From here on nothing is sent, and what sessions still hand over shares
    /// the fate of what is before it in its lane: behind effects that fail now,
    /// nothing may be kept.
    pub(super) fn begin_stop(&mut self) {
        let until = Instant::now() + self.grace;
        self.stop = Stop::Draining { until };
        self.submissions.close();
        while let Ok(submission) = self.submissions.try_recv() {
            self.take(submission);
        }
        for way in self.ways.iter_mut() {
            way.handle_shutdown();
        }
        let now = Instant::now().into_std();
        let waiting: usize = self.ways.iter().map(|w| w.lanes.depth(now).effects).sum();
        // Its daemons have what those wait for; the next life knows none of them.
        let parked = self.admission.parked_len();
        info!(waiting, parked, "Falco is stopping.");
    }

    pub(super) fn is_done(&self) -> bool {
        let is_written = self.keeper.as_ref().is_none_or(Keeper::is_idle);
        match self.stop {
            Stop::No => false,
            Stop::Draining { .. } => self.ways.are_empty() && is_written,
            Stop::Over => true,
        }
    }

    /// The last thing: waits for the journal to mark its end.
    pub(super) async fn end(self) {
        if let Some(keeper) = self.keeper {
            _ = timeout(CLOSE_PATIENCE, keeper.close()).await;
        }
        info!(
            succeeded = self.sums.succeeded,
            failed = self.sums.failed,
            "Falco has stopped."
        );
    }
}
