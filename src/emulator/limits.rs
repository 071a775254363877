//! What a client may ask of the emulator, and how much the emulator keeps.

use std::time::Duration;

/// The most messages one publish may carry (40034): what the three digits of
/// a message serial can number.
pub(super) const MESSAGES_PER_PUBLISH_MAX: usize = 1000;

/// The longest channel name.
pub(super) const CHANNEL_NAME_BYTES_MAX: usize = 2048;

/// The most channels there may be (40114); about 100 MB of empty ones.
pub(super) const CHANNELS_MAX: usize = 1 << 17;

/// The most channels one connection may be attached to (90010).
pub(super) const CHANNELS_PER_CONNECTION_MAX: usize = 10_000;

/// The largest websocket frame and REST body.
pub(super) const FRAME_BYTES_MAX: usize = 512 * 1024;

/// How long a lost connection can be resumed, as CONNECTED says.
pub(super) const CONNECTION_STATE_TTL: Duration = Duration::from_secs(120);

/// A connection that is silent for longer is dead to its client, as CONNECTED
/// says; heartbeats go out twice as often.
pub(super) const MAX_IDLE_INTERVAL: Duration = Duration::from_secs(15);

/// Limits that the command line can set; the rest are constants.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Messages a second on one connection; over it they are refused (42911).
    pub inbound_rate: u32,
    /// Bytes of one publish as Ably counts them (TM6); over it 40009.
    pub message_bytes: usize,
    /// What history keeps.
    pub history: HistoryLimits,
    /// Clients connected at once, websocket and HTTP together.
    pub connections: usize,
}

/// What history keeps; whatever is over any of these goes, oldest first.
#[derive(Debug, Clone)]
pub struct HistoryLimits {
    /// Publishes of one channel. A subscriber further behind has lost them.
    pub per_channel: usize,
    /// Bytes of all publishes, their bookkeeping included.
    pub bytes: usize,
    /// Age of a message.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbound_rate: 100_000,
            message_bytes: 65_536,
            history: HistoryLimits::default(),
            connections: 1000,
        }
    }
}

impl HistoryLimits {
    /// With less, a subscriber that is not slow would lose messages: all that
    /// one turn of a publisher appends must still be there when it pulls.
    pub const MIN: Self = Self {
        per_channel: 1000,
        bytes: 1024 * 1024,
        age: Duration::from_secs(1),
    };
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            per_channel: 50_000,
            bytes: 32 * 1024 * 1024,
            age: Duration::from_secs(120),
        }
    }
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    available: f64,
    refilled_ms: i64,
}

impl RateLimit {
    /// A full bucket.
    pub(super) fn new(per_second: u32, now_ms: i64) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            available: per_second,
            refilled_ms: now_ms,
        }
    }

    /// Takes `count` if they are there; takes nothing otherwise.
    pub(super) fn take(&mut self, count: usize, now_ms: i64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds and counts are small"
        )]
        let (elapsed, count) = ((now_ms - self.refilled_ms).max(0) as f64, count as f64);
        self.refilled_ms = now_ms;
        self.available = (self.available + elapsed * self.per_second / 1000.0).min(self.per_second);
        if self.available < count {
            return false;
        }
        self.available -= count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_may_be_spent_at_once_and_comes_back_with_time() {
        let mut rate = RateLimit::new(10, 0);
        assert!(rate.take(10, 0));
        assert!(!rate.take(1, 99));
        assert!(rate.take(1, 100));
        assert!(!rate.take(11, 1_000_000));
        assert!(rate.take(10, 1_000_000));
    }
}
