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
//! Two more brakes, for when things go wrong and only then: retries have a
//! [budget](retries), and a [circuit breaker](breaker) lets one request out at a
//! time while none succeeds. Whoever asks is told of a failure only if it is news:
//! of a lane that was well, and with nothing heard since it was sent.

mod breaker;
mod retries;

use std::time::Instant;

use breaker::Breaker;
pub(super) use breaker::FAILURES_MAX;
use retries::Retries;

/// Requests at once, to begin with.
const WINDOW_MIN: f64 = 4.0;

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

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    window: f64,
    /// Up to here the window doubles; beyond, it grows by one.
    threshold: f64,
    /// What was sent before tells nothing new about limits.
    cut_at: Option<Instant>,
    breaker: Breaker,
    retries: Retries,
    /// Requests that were sent.
    sent: u64,
    /// The last of them that was answered well.
    heard: u64,
}

impl Pace {
    /// Any `seed` does; it spreads the probes.
    pub(super) fn new(seed: u32) -> Self {
        Self {
            window: WINDOW_MIN,
            threshold: f64::INFINITY,
            cut_at: None,
            breaker: Breaker::new(seed),
            retries: Retries::new(),
            sent: 0,
            heard: 0,
        }
    }

    /// The transport is gone.
    pub(super) fn handle_outage(&mut self) {
        self.window = WINDOW_MIN;
        self.threshold = f64::INFINITY;
        self.cut_at = None;
        self.breaker.close();
    }

    /// A request was accepted, with so many effects.
    pub(super) fn handle_success(&mut self, effects: usize) {
        self.retries.earn(effects);
        if self.breaker.is_open() {
            self.window = WINDOW_MIN;
        }
        self.breaker.close();
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
                self.breaker.count_failure(now);
            }
        }
    }

    /// Whether another request may go out beside the `recent` ones.
    pub(super) fn may_send(&self, recent: usize) -> bool {
        if self.breaker.is_open() {
            return recent == 0 && self.breaker.is_probe_due();
        }
        count(recent) + 1.0 <= self.window.max(1.0)
    }

    /// Whether another lane that is not well may have one of the requests that
    /// may go out, beside the `recent` ones of such lanes.
    pub(super) fn may_send_ill(&self, recent: usize, others_wait: bool) -> bool {
        let share = match (self.breaker.is_open(), others_wait) {
            (true, true) => 0.0,
            (true, false) => 1.0,
            // Of the smallest window nothing; of a small one, one.
            (false, true) => (self.window / 4.0).max((self.window - 1.0).min(1.0)),
            (false, false) => (self.window * 0.75).max(1.0),
        };
        count(recent) + 1.0 <= share
    }

    /// Whether as much as half a window is out without an answer.
    pub(super) fn is_mostly(&self, slow: usize) -> bool {
        self.window <= 2.0 * count(slow)
    }

    /// Whether one request is tried at a time.
    pub(super) fn is_open(&self) -> bool {
        self.breaker.is_open()
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
        self.breaker.handle_sent(now);
        self.sent
    }

    /// Spends one retry, if there is one.
    pub(super) fn try_retry(&mut self, now: Instant) -> bool {
        self.retries.try_spend(now)
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.breaker.handle_timeout(now);
    }

    /// When a probe becomes due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.breaker.poll_timeout()
    }
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
