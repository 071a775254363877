//! When to wait for more before a sync is spent.

use std::time::Duration;

/// Syncs that take longer than this on average are worth waiting for company.
const SLOW: Duration = Duration::from_millis(2);

/// With this many records at hand no more are waited for: under load a wait
/// only makes everybody later.
const SMALL_BATCH: usize = 64;

/// The longest wait.
const HOLD_MAX: Duration = Duration::from_millis(1);

/// How much the newest sync counts in the average: one eighth.
const WEIGHT: u32 = 8;

/// How long syncs take lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    average: Duration,
}

impl Pace {
    /// Whether a sync takes no longer than what else there is to do for an append. Of
    /// slow ones fewer are better: what comes meanwhile goes together.
    pub(super) fn is_quick(&self) -> bool {
        self.average <= SLOW
    }

    pub(super) fn synced(&mut self, took: Duration) {
        self.average = self.average / WEIGHT * (WEIGHT - 1) + took / WEIGHT;
    }

    /// How long a batch of this many records should wait for more.
    pub(super) fn hold(&self, records: usize) -> Option<Duration> {
        let is_worth_it = SLOW < self.average && records < SMALL_BATCH;
        is_worth_it.then(|| HOLD_MAX.min(self.average / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(ms: u64) -> Pace {
        let mut pace = Pace::default();
        (0..200).for_each(|_| pace.synced(Duration::from_millis(ms)));
        pace
    }

    #[test]
    fn a_small_batch_waits_only_where_syncs_are_slow() {
        assert_eq!(pace(1).hold(1), None);
        assert!(pace(3).hold(1).is_some_and(|hold| hold < HOLD_MAX));
        assert_eq!(pace(40).hold(1), Some(HOLD_MAX));
    }

    #[test]
    fn a_large_batch_never_waits() {
        assert_eq!(pace(40).hold(SMALL_BATCH), None);
    }
}
