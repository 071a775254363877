//! How every task is started, told to stop, and waited for.
//!
//! A [`Shutdown`] owns one cancellation token and the set of tasks spawned
//! through it. Tasks are spawned nowhere else, so none is forgotten at stop.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// Whether all tasks ended inside the grace they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every task has ended.
    InTime,
    /// This many tasks were still running when the grace was over.
    TimedOut {
        /// Tasks that had not ended.
        left: usize,
    },
}

/// Spawns tasks and stops them; clones share both the token and the tasks.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    panicked: CancellationToken,
}

impl Shutdown {
    /// A shutdown that has not begun and has no tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown of its own that also begins when `self` begins.
    ///
    /// Its tasks count as its own, not as the parent's: whoever makes a child
    /// drains it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
            tasks: TaskTracker::new(),
            panicked: self.panicked.clone(),
        }
    }

    /// A shutdown of its own that begins by itself only, after `self` perhaps;
    /// panics of its tasks are known to `self` all the same.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            panicked: self.panicked.clone(),
            ..Self::default()
        }
    }

    /// Spawns `task` on the current runtime and tracks it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let panicked = self.panicked.clone();
        self.tasks.spawn(async move {
            let output = AssertUnwindSafe(task).catch_unwind().await;
            output.unwrap_or_else(|panic| {
                panicked.cancel();
                resume_unwind(panic)
            })
        })
    }

    /// Resolves once a task of this shutdown, of a child or of the parent has
    /// panicked: what such a task owned is in an unknown state.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn panicked(&self) -> WaitForCancellationFuture<'_> {
        self.panicked.cancelled()
    }

    /// Tells every task to stop; does not wait.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves once the shutdown has begun.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Begins the shutdown and waits up to `grace` for every task to end.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.begin();
        self.tasks.close();
        match tokio::time::timeout(grace, self.tasks.wait()).await {
            Ok(()) => Drained::InTime,
            Err(_) => Drained::TimedOut {
                left: self.tasks.len(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_every_task_and_counts_those_that_stay() {
        let shutdown = Shutdown::new();
        let token = shutdown.clone();
        shutdown.spawn(async move { token.begun().await });
        assert_eq!(
            shutdown.drain(Duration::from_secs(1)).await,
            Drained::InTime
        );

        shutdown.spawn(std::future::pending::<()>());
        assert_eq!(
            shutdown.drain(Duration::from_secs(1)).await,
            Drained::TimedOut { left: 1 }
        );
    }

    #[tokio::test]
    async fn a_panic_anywhere_below_is_known_above() {
        let shutdown = Shutdown::new();
        shutdown.child().spawn(async { panic!("broken") });
        shutdown.panicked().await;

        let shutdown = Shutdown::new();
        shutdown.sibling().spawn(async { panic!("broken") });
        shutdown.panicked().await;
    }

    #[test]
    fn a_sibling_stops_only_when_it_is_told() {
        let shutdown = Shutdown::new();
        let sibling = shutdown.sibling();
        shutdown.begin();
        assert!(!sibling.has_begun());
    }

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::new();
        let child = parent.child();
        child.begin();
        assert!(!parent.has_begun());
        let other = parent.child();
        parent.begin();
        assert!(other.has_begun());
    }
}
