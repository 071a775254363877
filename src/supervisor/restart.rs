//! When a part that failed is started again.
//!
//! Pure. The delay doubles with every failure up to a cap, jittered, and starts
//! over after a minute of readiness. Five failures without such a minute are a
//! crash loop: tried further at the cap, and shown as what it is.

use std::time::{Duration, Instant};

use super::chain::Ending;
use crate::backoff::Backoff;

/// Delays between starts.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(30),
};

/// How long a part must have been ready for its failures to be forgotten.
///
/// Twice the longest delay: a part that fails right after every start never
/// gets there.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// From this many failures on it is a crash loop.
const CRASH_LOOP: u32 = 5;

/// Exit codes that say that trying again cannot help: usage (2, 64),
/// configuration (78), not executable (126), not found (127).
const PERMANENT: [i32; 5] = [2, 64, 78, 126, 127];

/// What to do after a part ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after this long.
    After(Duration),
    /// Leave it: trying again cannot help.
    Never,
}

/// The failures of one part so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    failures: u32,
}

impl History {
    /// Counts a failure at `now` of a part that was ready since `ready_since`.
    ///
    /// `jitter` is a random number in `0.0..=1.0`.
    pub fn failed(
        &mut self,
        ending: &Ending,
        ready_since: Option<Instant>,
        now: Instant,
        jitter: f64,
    ) -> Verdict {
        if is_permanent(ending) {
            return Verdict::Never;
        }
        if ready_since.is_some_and(|since| FORGIVEN_AFTER <= now.duration_since(since)) {
            self.failures = 0;
        }
        let delay = BACKOFF.delay(self.failures, jitter);
        self.failures += 1;
        Verdict::After(delay)
    }

    /// How often it failed since it was last forgiven.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it fails again and again.
    pub fn is_crash_loop(&self) -> bool {
        CRASH_LOOP <= self.failures
    }

    /// Forgets every failure, as when a person restarts the part.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }
}

fn is_permanent(ending: &Ending) -> bool {
    match ending {
        Ending::Exited(code) => PERMANENT.contains(code),
        Ending::CannotStart { permanent, .. } => *permanent,
        Ending::Signaled(_) | Ending::NotReady | Ending::Failed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(history: &mut History, ready_for: Option<Duration>) -> Verdict {
        let now = Instant::now() + Duration::from_secs(3600);
        let ready_since = ready_for.map(|d| now.checked_sub(d).unwrap());
        history.failed(&Ending::Signaled(11), ready_since, now, 1.0)
    }

    fn ms(ms: u64) -> Verdict {
        Verdict::After(Duration::from_millis(ms))
    }

    #[test]
    fn delays_double_and_stop_at_the_cap() {
        let mut history = History::default();
        let delays: Vec<_> = (0..10).map(|_| crash(&mut history, None)).collect();
        let expected = [
            200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000,
        ];
        assert_eq!(delays, expected.map(ms));
    }

    #[test]
    fn five_failures_without_a_minute_of_readiness_are_a_crash_loop() {
        let mut history = History::default();
        for _ in 0..4 {
            crash(&mut history, Some(Duration::from_secs(59)));
            assert!(!history.is_crash_loop());
        }
        crash(&mut history, None);
        assert!(history.is_crash_loop());
    }

    #[test]
    fn a_minute_of_readiness_forgives() {
        let mut history = History::default();
        for _ in 0..9 {
            crash(&mut history, None);
        }
        assert_eq!(crash(&mut history, Some(Duration::from_secs(60))), ms(200));
        assert!(!history.is_crash_loop());
    }

    #[test]
    fn a_usage_error_is_not_tried_again() {
        let now = Instant::now();
        for code in PERMANENT {
            let verdict = History::default().failed(&Ending::Exited(code), None, now, 0.5);
            assert_eq!(verdict, Verdict::Never);
        }
        let verdict = History::default().failed(&Ending::Exited(1), None, now, 1.0);
        assert_eq!(verdict, ms(200));
    }
}
