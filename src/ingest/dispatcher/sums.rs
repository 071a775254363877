//! What has been decided so far, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Origin;
use super::latency::Latency;
use super::rate::{Rate, WINDOW_MAX};
use crate::clock;
use crate::delivery::{Answer, Class, Failure};
use crate::protocol::control::IngestStatus;

/// How often a failure is worth a warning; the ones between are counted.
const WARNING_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Sums {
    began: Instant,
    pub accepted: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// By the word of their class; those that never were, too.
    failures: BTreeMap<&'static str, u64>,
    /// Effects a transport has accepted, whoever keeps them.
    published: u64,
    rate: Rate,
    success_took: Latency,
    failure_took: Latency,
    last_error: Option<Failure>,
    /// When that was, in milliseconds since the epoch.
    last_error_ms: u64,
    warned_at: Option<Instant>,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            accepted: 0,
            succeeded: 0,
            failed: 0,
            failures: Class::ALL.map(|class| (class.token(), 0)).into(),
            published: 0,
            rate: Rate::new(),
            success_took: Latency::default(),
            failure_took: Latency::default(),
            last_error: None,
            last_error_ms: 0,
            warned_at: None,
        }
    }

    pub(super) fn count(&mut self, answer: &Answer<Origin>, now: Instant) {
        let took = now.duration_since(answer.origin.arrived);
        let Err(failure) = &answer.outcome else {
            self.success_took.count(took);
            self.succeeded += 1;
            return;
        };
        self.failure_took.count(took);
        debug!(effect_id = %answer.id, error = %failure, "Effect failed.");
        self.count_failed(1, failure);
    }

    pub(super) fn count_failed(&mut self, count: u64, failure: &Failure) {
        self.failed += count;
        *self.failures.entry(failure.class.token()).or_default() += count;
        self.last_error = Some(failure.clone());
        self.last_error_ms = clock::now_ms();
        let failed = self.failed;
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= WARNING_EVERY)
        {
            self.warned_at = Some(Instant::now());
            warn!(failed, error = %failure, "Effects fail; their daemons were told.");
        }
    }

    /// A transport has accepted an effect.
    pub(super) fn count_published(&mut self, now: Instant) {
        self.published += 1;
        self.rate.count(self.second(now));
    }

    fn second(&self, now: Instant) -> u64 {
        now.duration_since(self.began).as_secs()
    }

    /// What there is to say of them.
    pub(super) fn status(&self) -> IngestStatus {
        let second = self.second(Instant::now());
        let failures = self.failures.iter();
        IngestStatus {
            accepted: self.accepted,
            succeeded: self.succeeded,
            failed: self.failed,
            failures: failures
                .map(|(class, n)| ((*class).to_owned(), *n))
                .collect(),
            published: self.published,
            published_10s: self.rate.last(10, second),
            published_60s: self.rate.last(WINDOW_MAX, second),
            success_took: self.success_took.status(),
            failure_took: self.failure_took.status(),
            last_error: self.last_error.as_ref().map(ToString::to_string),
            last_error_ms: self.last_error_ms,
            ..IngestStatus::default()
        }
    }
}
