//! Failures behind which nothing is held up, because too much is already.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// How often that is worth a warning: what has the room now is over by then.
const WARNING_EVERY: Duration = Duration::from_secs(30);

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Unguarded {
    told: u64,
    warned_at: Option<Instant>,
}

impl Unguarded {
    /// There were so many.
    pub(super) fn tell(&mut self, unguarded: u64) {
        if self.is_due(unguarded) {
            warn!(
                unguarded,
                "No more effects that failed may be waited for; what comes behind others is let past."
            );
        }
    }

    fn is_due(&mut self, unguarded: u64) -> bool {
        let is_long_ago = |at: Instant| at.elapsed() >= WARNING_EVERY;
        let is_due = self.told < unguarded && self.warned_at.is_none_or(is_long_ago);
        if is_due {
            self.told = unguarded;
            self.warned_at = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_once_until_there_may_be_room_again() {
        let mut unguarded = Unguarded::default();
        let mut is_due = |count| unguarded.is_due(count);
        assert_eq!([0, 1, 2].map(&mut is_due), [false, true, false]);
        tokio::time::advance(WARNING_EVERY).await;
        assert_eq!([2, 2, 3].map(&mut is_due), [true, false, false]);
        tokio::time::advance(WARNING_EVERY).await;
        assert_eq!([3, 3].map(&mut is_due), [true, false]);
        tokio::time::advance(WARNING_EVERY).await;
        assert!(!is_due(3), "nothing is new");
    }
}
