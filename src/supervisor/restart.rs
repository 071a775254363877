//! When a part that failed is started again.
//!
//! Pure. The delay doubles with every failure up to a cap, jittered, and starts
//! over once the part was ready long enough. Five failures without that are a
//! crash loop: tried further at the cap, and shown as what it is.

use std::time::{Duration, Instant};

use super::chain::Ending;
use super::sidecar::{RestartPolicy, RestartWhen};
use crate::backoff::Backoff;

/// From this many failures on it is a crash loop.
const CRASH_LOOP: u32 = 5;

/// What to do after a part ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after this long.
    After(Duration),
    /// Leave it: trying again cannot help, or is not wanted.
    Never,
    /// Leave it: it has done what it was for.
    Finished,
}

/// The failures of one part so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    failures: u32,
    /// When it failed first of those times.
    since: Option<Instant>,
    last_delay: Duration,
}

impl History {
    /// Counts an ending at `now` of a part that was ready since `ready_since`.
    ///
    /// `jitter` is a random number in `0.0..=1.0`.
    pub fn failed(
        &mut self,
        policy: &RestartPolicy,
        ending: &Ending,
        ready_since: Option<Instant>,
        now: Instant,
        jitter: f64,
    ) -> Verdict {
        let finished = *ending == Ending::Exited(0) && policy.when != RestartWhen::Always;
        if finished {
            return Verdict::Finished;
        }
        if policy.when == RestartWhen::Never || is_permanent(policy, ending) {
            return Verdict::Never;
        }
        // Twice the last delay: a part that fails right after every start never
        // gets there.
        let forgiven_after = policy.reset_after.max(self.last_delay * 2);
        if ready_since.is_some_and(|since| forgiven_after <= now.duration_since(since)) {
            self.failures = 0;
        }
        if self.failures == 0 {
            self.since = Some(now);
        }
        let backoff = Backoff {
            base: policy.base,
            cap: policy.cap,
        };
        self.last_delay = backoff.delay(self.failures, jitter);
        self.failures += 1;
        Verdict::After(self.last_delay)
    }

    /// How often it failed since it was last forgiven.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When it failed first since it was last forgiven.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it fails again and again.
    pub fn is_crash_loop(&self) -> bool {
        CRASH_LOOP <= self.failures
    }

    /// Forgets every failure, as when a person restarts the part.
    pub fn forgive(&mut self) {
        *self = Self::default();
    }
}

fn is_permanent(policy: &RestartPolicy, ending: &Ending) -> bool {
    match ending {
        Ending::Exited(code) => policy.permanent.contains(code),
        Ending::CannotStart { permanent, .. } => *permanent,
        Ending::Failed(fall) => fall.permanent,
        Ending::Signaled { .. } | Ending::NotReady | Ending::NotAlive { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(history: &mut History, ready_for: Option<Duration>) -> Verdict {
        let now = Instant::now() + Duration::from_secs(3600);
        let ready_since = ready_for.map(|d| now.checked_sub(d).unwrap());
        let policy = RestartPolicy::default();
        history.failed(&policy, &Ending::by_signal(11), ready_since, now, 1.0)
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
    fn readiness_forgives_only_after_twice_the_last_delay() {
        let policy = RestartPolicy {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(600),
            reset_after: Duration::from_secs(10),
            ..RestartPolicy::default()
        };
        let now = Instant::now() + Duration::from_secs(3600);
        let mut history = History::default();
        let mut crash_after = |secs| {
            let since = now.checked_sub(Duration::from_secs(secs));
            history.failed(&policy, &Ending::by_signal(9), since, now, 1.0)
        };
        assert_eq!(crash_after(0), ms(60_000));
        assert_eq!(crash_after(119), ms(120_000));
        assert_eq!(crash_after(240), ms(60_000));
    }

    #[test]
    fn a_usage_error_is_not_tried_again() {
        let now = Instant::now();
        let policy = RestartPolicy::default();
        for code in RestartPolicy::PERMANENT {
            let ending = Ending::Exited(code);
            let verdict = History::default().failed(&policy, &ending, None, now, 0.5);
            assert_eq!(verdict, Verdict::Never);
        }
        let verdict = History::default().failed(&policy, &Ending::Exited(1), None, now, 1.0);
        assert_eq!(verdict, ms(200));
    }

    #[test]
    fn what_exits_with_0_has_finished_unless_it_is_to_run_always() {
        let verdict = |when, code| {
            let policy = RestartPolicy {
                when,
                ..RestartPolicy::default()
            };
            let now = Instant::now();
            History::default().failed(&policy, &Ending::Exited(code), None, now, 1.0)
        };
        assert_eq!(verdict(RestartWhen::Always, 0), ms(200));
        assert_eq!(verdict(RestartWhen::OnFailure, 0), Verdict::Finished);
        assert_eq!(verdict(RestartWhen::OnFailure, 1), ms(200));
        assert_eq!(verdict(RestartWhen::Never, 0), Verdict::Finished);
        assert_eq!(verdict(RestartWhen::Never, 1), Verdict::Never);
    }
}
