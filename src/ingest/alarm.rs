//! A timer that is cheap to put off.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes its owner at, or at times before, the moment asked for.
///
/// Deadlines mostly move later. Moving a timer costs more than one early
/// wake-up, so it is only ever moved earlier; an owner that is woken early
/// finds nothing due and waits again.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Waits until about `due`; forever without one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, it may be waited for again, with another
    /// moment if need be.
    pub(super) async fn wait(&mut self, due: Option<Instant>) {
        let Some(due) = due else {
            return pending().await;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_no_later_than_asked_and_then_again() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        alarm.wait(Some(start + SECOND)).await;
        assert_eq!(start.elapsed(), SECOND);
        alarm.wait(Some(start + 2 * SECOND)).await;
        assert_eq!(start.elapsed(), 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_moves_earlier_is_kept_and_one_that_moves_later_may_ring_early() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for seconds in [5, 3, 4] {
            let wait = alarm.wait(Some(start + seconds * SECOND));
            _ = tokio::time::timeout(Duration::ZERO, wait).await;
        }
        alarm.wait(Some(start + 4 * SECOND)).await;
        assert_eq!(start.elapsed(), 3 * SECOND);
    }
}
