//! How many retries there may be: a tenth of what succeeds, and a little besides.

use std::time::Instant;

use super::count;

/// Retries at once, after a while without any: one of each request that our
/// transport gets at once.
const RETRIES_MAX: f64 = 8192.0;

/// What one success earns of a retry.
const EARNED: f64 = 0.1;

/// What a second earns in any case.
const EARNED_PER_SECOND: f64 = 256.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Retries {
    left: f64,
    counted_at: Option<Instant>,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self {
            left: RETRIES_MAX,
            counted_at: None,
        }
    }

    /// So many effects succeeded.
    pub(super) fn earn(&mut self, effects: usize) {
        self.add(count(effects) * EARNED);
    }

    /// Spends one, if there is one.
    pub(super) fn try_spend(&mut self, now: Instant) -> bool {
        let since = self.counted_at.replace(now).unwrap_or(now);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        self.add(seconds * EARNED_PER_SECOND);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    fn add(&mut self, more: f64) {
        self.left = (self.left + more).min(RETRIES_MAX);
    }
}
