//! Delays between attempts: exponential, capped, jittered.
//!
//! Pure: it decides how long to wait, the caller waits. Jitter comes from the
//! caller as a number in `0.0..=1.0`, so that tests are exact.

use std::time::Duration;

/// An exponential backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay, before jitter.
    pub base: Duration,
    /// No delay exceeds this.
    pub cap: Duration,
}

impl Backoff {
    /// The delay before attempt `attempt + 1`, where `attempt` counts the
    /// failures so far from 0, scaled into its upper half by `jitter`.
    ///
    /// `min(cap, base * 2^attempt) * (0.5 + jitter / 2)`; `jitter` is clamped
    /// to `0.0..=1.0`.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let factor = 2u32.saturating_pow(attempt.min(31));
        let full = self.base.saturating_mul(factor).min(self.cap);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(200),
        cap: Duration::from_secs(30),
    };

    #[test]
    fn delays_double_until_the_cap() {
        let delays: Vec<u128> = (0..10).map(|n| BACKOFF.delay(n, 1.0).as_millis()).collect();
        assert_eq!(
            delays,
            [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
        );
    }

    #[test]
    fn jitter_never_takes_more_than_half_of_a_delay() {
        assert_eq!(BACKOFF.delay(0, 0.0), Duration::from_millis(100));
        assert_eq!(BACKOFF.delay(u32::MAX, 0.0), Duration::from_secs(15));
    }
}
