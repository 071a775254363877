//! One timer for a deadline that keeps moving.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// How far a deadline may move away before the timer follows it.
const SLACK: Duration = Duration::from_secs(1);

/// Sleeps until a deadline; re-armed when it has to ring earlier, or much
/// later.
///
/// A busy connection's deadline moves away with every frame: moving the timer
/// each time costs more than it saves. An idle one's moves seldom, and then a
/// timer that rings too early would wake the process for nothing.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// Resolves at `due` or before it; never without one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn wait_until(&mut self, due: Option<Instant>) {
        let Some(due) = due else {
            self.armed = None;
            return std::future::pending().await;
        };
        let is_off = |armed| due < armed || armed + SLACK < due;
        if self.armed.is_none_or(is_off) {
            self.sleep.as_mut().reset(due.into());
            self.armed = Some(due);
        }
        self.sleep.as_mut().await;
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_far_away_wakes_nobody_early() {
        let start = tokio::time::Instant::now();
        let after = |millis| Some(start.into_std() + Duration::from_millis(millis));
        let mut timer = Timer::new();
        assert!(timer.wait_until(after(4000)).now_or_never().is_none());
        assert!(timer.wait_until(after(4900)).now_or_never().is_none());
        assert_eq!(timer.armed, after(4000), "not worth moving");
        timer.wait_until(after(25_000)).await;
        assert_eq!(start.elapsed().as_secs(), 25);
    }
}
