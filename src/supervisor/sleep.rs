//! Notices that time passed in which neither we nor anybody else could act:
//! this machine slept, or we were suspended.
//!
//! Pure: what the clocks say is handed in.

use std::time::{Duration, Instant};

/// A sleep shorter than this makes no difference to any deadline.
const SHORTEST: Duration = Duration::from_secs(1);

/// We are never so late by ourselves: the loop waits for nothing.
const LATE: Duration = Duration::from_secs(2);

/// How long this machine had slept when we last looked.
#[derive(Debug)]
pub(super) struct Sleep {
    slept: Duration,
}

impl Sleep {
    /// Nothing was missed so far; the machine has `slept` so long since it was
    /// booted.
    pub(super) fn new(slept: Duration) -> Self {
        Self { slept }
    }

    /// Whether a sleep has just ended: the machine has `slept` longer than the
    /// last time, or it is `now` long after what was `due`.
    pub(super) fn is_over(&mut self, slept: Duration, due: Option<Instant>, now: Instant) -> bool {
        let longer = SHORTEST < slept.saturating_sub(self.slept);
        self.slept = slept.max(self.slept);
        longer || due.is_some_and(|due| due + LATE < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_noticed_once_however_it_came() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut sleep = Sleep::new(5 * second);
        assert!(!sleep.is_over(5 * second, Some(now), now + second));
        assert!(sleep.is_over(3600 * second, Some(now), now));
        assert!(!sleep.is_over(3600 * second, None, now));
        assert!(sleep.is_over(3600 * second, Some(now), now + 3 * second));
    }
}
