//! What has been decided so far, in numbers.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Origin;
use crate::delivery::{Answer, Failure};
use crate::protocol::control::IngestStatus;

/// How often a failure is worth a warning; the ones between are counted.
const WARNING_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Sums {
    pub accepted: u64,
    pub succeeded: u64,
    pub failed: u64,
    last_error: Option<Failure>,
    warned_at: Option<Instant>,
}

impl Sums {
    pub(super) fn count(&mut self, answer: &Answer<Origin>) {
        let Err(failure) = &answer.outcome else {
            self.succeeded += 1;
            return;
        };
        debug!(effect_id = %answer.id, error = %failure, "Effect failed.");
        self.count_failed(1, failure);
    }

    pub(super) fn count_failed(&mut self, count: u64, failure: &Failure) {
        self.failed += count;
        self.last_error = Some(failure.clone());
        let failed = self.failed;
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= WARNING_EVERY)
        {
            self.warned_at = Some(Instant::now());
            warn!(failed, error = %failure, "Effects fail; their daemons were told.");
        }
    }

    /// What there is to say of them.
    pub(super) fn status(&self) -> IngestStatus {
        IngestStatus {
            accepted: self.accepted,
            succeeded: self.succeeded,
            failed: self.failed,
            last_error: self.last_error.as_ref().map(ToString::to_string),
            ..IngestStatus::default()
        }
    }
}
