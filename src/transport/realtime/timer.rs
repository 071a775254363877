//! One timer for a deadline that keeps moving.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Sleeps until a deadline; re-armed only when it has to ring earlier.
///
/// A busy connection's deadline moves away with every frame. Ringing too
/// early once in a while is cheaper than moving the timer each time.
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
        if self.armed.is_none_or(|armed| due < armed) {
            self.sleep.as_mut().reset(due.into());
            self.armed = Some(due);
        }
        self.sleep.as_mut().await;
        self.armed = None;
    }
}
