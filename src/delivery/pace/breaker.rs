//! A circuit breaker: when many requests in a row fail and none succeeds, one is
//! sent at a time, to try, until one succeeds.
//!
//! ```text
//!       8 lanes in trouble, no success between
//! Closed ─────────────────────────────────▶ Open ── a probe every 0.25 to 1 s
//!   ▲                                        │
//!   └──── any success; window starts small ──┘
//! ```

use std::time::{Duration, Instant};

/// Requests that fail in a row before the breaker opens: more than the attempts
/// of one lane, which may be alone in its trouble.
pub(in crate::delivery) const FAILURES_MAX: u32 = 8;

/// The pause between two probes: at first, and at most.
pub(super) const PROBE_PAUSE: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(1));

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
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
pub(super) struct Breaker {
    state: State,
    /// Spreads the probes; any number does.
    seed: u32,
}

impl Breaker {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            seed,
        }
    }

    /// One succeeded, or all begins anew.
    pub(super) fn close(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    pub(super) fn count_failure(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < FAILURES_MAX => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => State::Open {
                probe_at: Some(now + self.jitter(PROBE_PAUSE.0)),
                pause: PROBE_PAUSE.0,
            },
            open @ State::Open { .. } => open,
        };
    }

    /// Whether one request is tried at a time.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether it is open, and the next may be tried.
    pub(super) fn is_probe_due(&self) -> bool {
        matches!(self.state, State::Open { probe_at: None, .. })
    }

    /// A request goes out.
    pub(super) fn handle_sent(&mut self, now: Instant) {
        if let State::Open { pause, .. } = self.state {
            let pause = (pause * 2).min(PROBE_PAUSE.1);
            let probe_at = Some(now + self.jitter(pause));
            self.state = State::Open { probe_at, pause };
        }
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let State::Open { probe_at, .. } = &mut self.state {
            *probe_at = probe_at.filter(|at| *at > now);
        }
    }

    /// When a probe becomes due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { probe_at, .. } => probe_at,
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
