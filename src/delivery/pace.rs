//! How much the transport may get at once.
//!
//! A window of requests, the way TCP has one of bytes. It starts small after
//! every outage and doubles with each round trip, so that a storm of resends
//! does not hit a transport that has just come back; Ably's limits halve it,
//! and it grows back by one request a round trip.
//!
//! A request that is not answered soon leaves the window, so that a channel
//! that swallows its publishes takes no room from the others. Lanes that are
//! known for that, or for other trouble, get a part of the window: a quarter
//! while others wait, and never all of it.
//!
//! Two more brakes, for when things go wrong and only then. Retries have a
//! budget: a tenth of what succeeds, and a little besides. And a circuit
//! breaker: when many requests in a row fail and none succeeds, one is sent at
//! a time, to try, until one succeeds. Whoever asks is told of a failure only if
//! it is news: of a lane that was well, and with nothing heard since it was sent.
//!
//! ```text
//!       8 lanes in trouble, no success between
//! Closed ─────────────────────────────────▶ Open ── a probe every 0.25 to 1 s
//!   ▲                                        │
//!   └──── any success; window starts small ──┘
//! ```

use std::time::{Duration, Instant};

/// Requests at once, to begin with.
const WINDOW_MIN: f64 = 4.0;

/// Requests that fail in a row before the breaker opens: more than the attempts
/// of one lane, which may be alone in its trouble.
const FAILURES_MAX: u32 = 8;

/// The pause between two probes: at first, and at most.
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// Retries at once, after a while without any: one of each request that our
/// transport gets at once.
const RETRIES_MAX: f64 = 8192.0;

/// What one success earns of a retry.
const EARNED: f64 = 0.1;

/// What a second earns in any case.
const EARNED_PER_SECOND: f64 = 256.0;

/// How an attempt went, as far as it says something about the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It was refused for what it is: the transport works.
    Life,
    /// Ably said that it was too much for this connection.
    TooMuch {
        /// When the request was sent.
        sent: Instant,
    },
    /// No answer, or none that says whether it was published.
    Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Breaker {
    Closed {
        failures: u32,
    },
    /// Without `probe_at`, a probe is due.
    Open {
        probe_at: Option<Instant>,
        pause: Duration,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    window: f64,
    /// Up to here the window doubles; beyond, it grows by one.
    threshold: f64,
    /// What was sent before tells nothing new about limits.
    cut_at: Option<Instant>,
    breaker: Breaker,
    retries: f64,
    counted_at: Option<Instant>,
    /// Requests that were sent.
    sent: u64,
    /// The last of them that was answered well.
    heard: u64,
    /// Spreads the probes; any number does.
    seed: u32,
}

impl Pace {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            window: WINDOW_MIN,
            threshold: f64::INFINITY,
            cut_at: None,
            breaker: Breaker::Closed { failures: 0 },
            retries: RETRIES_MAX,
            counted_at: None,
            sent: 0,
            heard: 0,
            seed,
        }
    }

    /// The transport is gone.
    pub(super) fn handle_outage(&mut self) {
        self.window = WINDOW_MIN;
        self.threshold = f64::INFINITY;
        self.cut_at = None;
        self.breaker = Breaker::Closed { failures: 0 };
    }

    /// A request was accepted, with so many effects.
    pub(super) fn handle_success(&mut self, effects: usize) {
        self.retries = (self.retries + count(effects) * EARNED).min(RETRIES_MAX);
        if let Breaker::Open { .. } = self.breaker {
            self.window = WINDOW_MIN;
        }
        self.breaker = Breaker::Closed { failures: 0 };
        if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.window += 1.0 / self.window;
        }
    }

    /// A request failed; `in_flight` are out, this one included.
    pub(super) fn handle_sign(&mut self, sign: Sign, in_flight: usize, now: Instant) {
        let in_flight = count(in_flight).max(1.0);
        match sign {
            Sign::Life => self.handle_success(0),
            Sign::TooMuch { sent } => {
                if self.cut_at.is_none_or(|cut_at| cut_at <= sent) {
                    // What of it was used was too much.
                    self.window = (self.window.min(in_flight) / 2.0).max(1.0);
                    self.threshold = self.window;
                    self.cut_at = Some(now);
                }
            }
            Sign::Trouble => {
                self.window = (self.window - self.window / (2.0 * in_flight)).max(1.0);
                self.count_failure(now);
            }
        }
    }

    fn count_failure(&mut self, now: Instant) {
        self.breaker = match self.breaker {
            Breaker::Closed { failures } if failures + 1 < FAILURES_MAX => Breaker::Closed {
                failures: failures + 1,
            },
            Breaker::Closed { .. } => Breaker::Open {
                probe_at: Some(now + self.jitter(PROBE_PAUSE.0)),
                pause: PROBE_PAUSE.0,
            },
            open @ Breaker::Open { .. } => open,
        };
    }

    /// Whether another request may go out beside the `recent` ones.
    pub(super) fn may_send(&self, recent: usize) -> bool {
        match self.breaker {
            Breaker::Closed { .. } => count(recent) + 1.0 <= self.window.max(1.0),
            Breaker::Open { probe_at, .. } => recent == 0 && probe_at.is_none(),
        }
    }

    /// Whether another lane that is not well may have one of the requests that
    /// may go out, beside the `recent` ones of such lanes.
    pub(super) fn may_send_ill(&self, recent: usize, others_wait: bool) -> bool {
        let share = match (self.breaker, others_wait) {
            (Breaker::Open { .. }, true) => 0.0,
            (Breaker::Open { .. }, false) => 1.0,
            // Of the smallest window nothing; of a small one, one.
            (Breaker::Closed { .. }, true) => (self.window / 4.0).max((self.window - 1.0).min(1.0)),
            (Breaker::Closed { .. }, false) => (self.window * 0.75).max(1.0),
        };
        count(recent) + 1.0 <= share
    }

    /// Whether as much as half a window is out without an answer.
    pub(super) fn is_mostly(&self, slow: usize) -> bool {
        self.window <= 2.0 * count(slow)
    }

    /// Whether one request is tried at a time.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.breaker, Breaker::Open { .. })
    }

    /// The request with this number was answered well.
    pub(super) fn handle_heard(&mut self, number: u64) {
        self.heard = self.heard.max(number);
    }

    /// Whether neither this request nor one sent after it was answered well.
    pub(super) fn has_not_heard_since(&self, number: u64) -> bool {
        self.heard < number
    }

    /// The number of the request that went out last.
    pub(super) fn latest(&self) -> u64 {
        self.sent
    }

    /// A request goes out; returns its number.
    pub(super) fn handle_sent(&mut self, now: Instant) -> u64 {
        self.sent += 1;
        if let Breaker::Open { pause, .. } = self.breaker {
            let pause = (pause * 2).min(PROBE_PAUSE.1);
            let probe_at = Some(now + self.jitter(pause));
            self.breaker = Breaker::Open { probe_at, pause };
        }
        self.sent
    }

    /// Spends one retry, if there is one.
    pub(super) fn try_retry(&mut self, now: Instant) -> bool {
        let since = self.counted_at.replace(now).unwrap_or(now);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        self.retries = (self.retries + seconds * EARNED_PER_SECOND).min(RETRIES_MAX);
        let may = self.retries >= 1.0;
        if may {
            self.retries -= 1.0;
        }
        may
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Breaker::Open { probe_at, .. } = &mut self.breaker {
            *probe_at = probe_at.filter(|at| *at > now);
        }
    }

    /// When a probe becomes due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.breaker {
            Breaker::Closed { .. } => None,
            Breaker::Open { probe_at, .. } => probe_at,
        }
    }

    /// Between half of `pause` and all of it.
    fn jitter(&mut self, pause: Duration) -> Duration {
        self.seed = self
            .seed
            .wrapping_mul(0x0019_660d)
            .wrapping_add(0x3c6e_f35f);
        let part = f64::from(self.seed) / f64::from(u32::MAX);
        pause.mul_f64(0.5 + part / 2.0)
    }
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    fn allowed(pace: &Pace) -> usize {
        let recent = 0..100_000;
        recent.take_while(|recent| pace.may_send(*recent)).count()
    }

    /// Sends all that is allowed, and all of it succeeds; how much that was.
    fn round_trip(pace: &mut Pace, now: &mut Instant) -> usize {
        let sent = allowed(pace);
        for _ in 0..sent {
            pace.handle_sent(*now);
        }
        *now += ROUND_TRIP;
        for _ in 0..sent {
            pace.handle_success(1);
        }
        sent
    }

    #[test]
    fn the_window_doubles_with_every_round_trip_and_an_outage_ends_that() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        let sent: Vec<_> = (0..6).map(|_| round_trip(&mut pace, &mut now)).collect();
        assert_eq!(sent, [4, 8, 16, 32, 64, 128]);
        pace.handle_outage();
        assert_eq!(round_trip(&mut pace, &mut now), 4);
    }

    #[test]
    fn a_limit_halves_the_window_once_a_round_trip_and_it_grows_back_by_one() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        for _ in 0..4 {
            round_trip(&mut pace, &mut now);
        }
        let sent = now;
        now += ROUND_TRIP;
        for _ in 0..40 {
            pace.handle_sign(Sign::TooMuch { sent }, 64, now);
        }
        assert_eq!(round_trip(&mut pace, &mut now), 32);
        assert_eq!(round_trip(&mut pace, &mut now), 32);
        assert_eq!(round_trip(&mut pace, &mut now), 33);
    }

    #[test]
    fn a_window_that_grew_unused_is_cut_to_half_of_what_was_used() {
        let (mut pace, now) = (Pace::new(1), Instant::now());
        for _ in 0..100_000 {
            pace.handle_success(1);
        }
        pace.handle_sign(Sign::TooMuch { sent: now }, 100, now);
        assert_eq!(allowed(&pace), 50);
    }

    #[test]
    fn one_silent_channel_among_many_costs_next_to_nothing() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        for _ in 0..8 {
            round_trip(&mut pace, &mut now);
        }
        let before = allowed(&pace);
        for _ in 0..100 {
            pace.handle_sign(Sign::Trouble, 1000, now);
            pace.handle_success(1);
        }
        assert!(allowed(&pace) >= before);
    }

    #[test]
    fn when_nothing_succeeds_one_is_tried_at_a_time_until_one_does() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(pace.may_send(0));
            pace.handle_sign(Sign::Trouble, 1, now);
        }
        assert!(!pace.may_send(0), "open");
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let probe_at = pace.poll_timeout().expect("open");
            pauses.push(probe_at - now);
            now = probe_at;
            pace.handle_timeout(now);
            assert!(pace.may_send(0) && !pace.may_send(1));
            assert_eq!(pace.poll_timeout(), None);
            pace.handle_sent(now);
            pace.handle_sign(Sign::Trouble, 1, now);
        }
        assert!(pauses.iter().all(|pause| *pause <= PROBE_PAUSE.1));
        assert!(pauses[4] >= PROBE_PAUSE.1 / 2, "{pauses:?}");
        pace.handle_success(1);
        assert_eq!(pace.poll_timeout(), None);
        assert_eq!(allowed(&pace), 5);
    }

    #[test]
    fn retries_have_a_budget_that_successes_and_time_fill() {
        let (mut pace, now) = (Pace::new(1), Instant::now());
        let spend = |pace: &mut Pace, now| (0..10_000).filter(|_| pace.try_retry(now)).count();
        assert_eq!(spend(&mut pace, now), 8192);
        assert_eq!(spend(&mut pace, now), 0);
        pace.handle_success(100);
        assert_eq!(spend(&mut pace, now), 10);
        assert_eq!(spend(&mut pace, now + Duration::from_secs(1)), 256);
    }
}
