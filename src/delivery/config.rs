//! The bounds and timings of delivery.

use std::time::Duration;

use crate::backoff::Backoff;

/// Who has an effect while it is delivered, and so what a failure may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Its daemon, which waits for the answer: every failed attempt counts, and
    /// what waits behind an effect that fails is failed too, so that the daemon
    /// sends it again in order.
    Daemon,
    /// The outbox, and its daemon has the answer already: only what was refused
    /// counts, and an effect that fails costs nobody else.
    Outbox,
}

/// What an effect that fails for good costs the rest of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRejected {
    /// Nothing: the lane goes on without it.
    Skip,
    /// The lane is parked: nothing behind it goes out until it comes again, or
    /// an operator lets the lane go on without it.
    Park,
}

/// A century; far enough, and no instant overflows by it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A pause whose reason is over ends within this: soon enough for those who
/// wait, and not for thousands of lanes in one moment.
pub(super) const PAUSE_LEFT_MAX: Duration = Duration::from_secs(1);

/// How often, how long, and how much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Who has the effects meanwhile.
    pub keeping: Keeping,
    /// What happens behind an effect that fails for good.
    pub on_rejected: OnRejected,
    /// Attempts that failed and count before an effect fails.
    pub attempts_max: u32,
    /// The patience the transport is told (`timeout_ms`).
    pub attempt_timeout: Duration,
    /// How much longer than that we wait, so that the transport's own verdict
    /// arrives before ours.
    pub answer_margin: Duration,
    /// Pauses before an attempt is repeated.
    pub retry: Backoff,
    /// After so long without an answer a request takes no room from others.
    pub slow_after: Duration,
    /// After so much longer its lane stands still, and nobody waits for it, if
    /// others were answered meanwhile.
    pub still_after: Duration,
    /// After so long without a transport all of its lanes do.
    pub quiet_after: Duration,
    /// How soon after a request went out a lost connection may be its doing.
    pub suspicion: Duration,
    /// With less time than that left, an effect is not sent any more.
    pub patience_min: Duration,
    /// From its arrival to its last possible answer, wherever the time went.
    pub effect_deadline: Duration,
    /// Effects a lane holds before it refuses more.
    pub lane_effects_max: usize,
    /// Bytes a lane holds before it refuses more.
    pub lane_bytes_max: usize,
    /// Effects it holds beyond that for as long as it goes on, or may.
    pub held_effects_max: usize,
    /// Bytes it holds beyond that, likewise.
    pub held_bytes_max: usize,
    /// Effects held over all lanes before nothing more is read.
    pub effects_max: usize,
    /// Bytes held over all lanes before nothing more is read.
    pub bytes_max: usize,
    /// Messages in one batch.
    pub batch_messages_max: usize,
    /// Payload and event bytes in one batch; Ably takes 64 KiB a message.
    pub batch_bytes_max: usize,
}

impl Config {
    /// The contract's three attempts, 500 ms apart, each `attempt_timeout`.
    #[must_use]
    pub(crate) fn with_attempt_timeout(attempt_timeout: Duration) -> Self {
        let attempts_max = 3;
        let retry_delay = Duration::from_millis(500);
        Self {
            keeping: Keeping::Daemon,
            on_rejected: OnRejected::Skip,
            attempts_max,
            attempt_timeout,
            answer_margin: Duration::from_millis(150),
            retry: Backoff {
                base: retry_delay,
                cap: retry_delay,
            },
            slow_after: Duration::from_millis(250),
            still_after: Duration::from_millis(750),
            quiet_after: Duration::from_secs(1),
            suspicion: Duration::from_secs(1),
            patience_min: Duration::from_millis(250),
            // 16.5 s for attempts of 5 s: all of them, the pauses between
            // them, and half a second to spare for the margins.
            effect_deadline: attempt_timeout * attempts_max + retry_delay * attempts_max,
            lane_effects_max: 4096,
            lane_bytes_max: 16 * 1024 * 1024,
            held_effects_max: 12_288,
            held_bytes_max: 48 * 1024 * 1024,
            effects_max: 65_536,
            bytes_max: 256 * 1024 * 1024,
            batch_messages_max: 32,
            batch_bytes_max: 48 * 1024,
        }
    }

    /// For effects that are kept until they are published: no deadline, and
    /// patience with everything but repeated refusals.
    #[must_use]
    pub(crate) fn for_outbox(attempt_timeout: Duration) -> Self {
        Self {
            keeping: Keeping::Outbox,
            attempts_max: 25,
            retry: Backoff {
                base: Duration::from_millis(500),
                cap: Duration::from_secs(30),
            },
            effect_deadline: NEVER,
            // The outbox loads a few of each lane, and refuses none.
            lane_bytes_max: usize::MAX,
            bytes_max: 64 * 1024 * 1024,
            ..Self::with_attempt_timeout(attempt_timeout)
        }
    }

    /// The pause after the failure with this number, counted from 1.
    ///
    /// Effects in the outbox are many and wait for the same thing: `seed`
    /// spreads them.
    pub(super) fn pause(&self, failures: u32, seed: u32) -> Duration {
        let jitter = match self.keeping {
            Keeping::Daemon => 1.0,
            Keeping::Outbox => part(seed.wrapping_add(failures)),
        };
        self.retry.delay(failures.saturating_sub(1), jitter)
    }
}

/// What is left of a pause when its reason is over; `seed` spreads them.
pub(super) fn pause_left(seed: u32) -> Duration {
    PAUSE_LEFT_MAX.mul_f64(part(seed))
}

/// Between nothing and one; neighbours are far apart.
fn part(seed: u32) -> f64 {
    f64::from(seed.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)
}

impl Default for Config {
    fn default() -> Self {
        Self::with_attempt_timeout(Duration::from_secs(5))
    }
}
