//! The last of a chain: every part is gone, and all that was ours goes too.

use std::time::Duration;

use super::super::instance::Phase;
use super::super::view::ms;
use super::{Outcome, Supervisor};
use crate::process::family;
use crate::protocol::control::Event;

/// How long the last answers may take to leave.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(500);

/// What is left to do once every part is gone takes no longer: logs are written
/// out, strangers ended, last words said.
pub(super) const FINISH_PATIENCE: Duration = Duration::from_secs(3);

/// How long descendants that got away from their part may take to vanish.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Ends whoever got away from the part it came from.
    async fn end_strangers(&mut self) {
        let left = family::end_strangers(STRANGERS_PATIENCE).await;
        if !left.is_empty() {
            tracing::error!(?left, "Processes below us would not die.");
            self.watchers.tell(&Event::PartStuck {
                part: "(no part)".to_owned(),
                pids: left,
            });
        }
    }

    /// Everything is gone but the control socket: says so, and takes it away.
    pub(super) async fn finish(mut self) -> Outcome {
        let after_ms = self.stopping_since.map_or(0, |since| ms(since.elapsed()));
        self.note_stopped(after_ms);
        self.config.logs.flush().await;
        self.end_strangers().await;
        if let Some(failure) = &self.failure {
            self.watchers.tell(&Event::Failed(failure.clone()));
        }
        // Told before nobody can be asked any more.
        self.config.enter(Phase::Stopping);
        let left = (self.config.ask_left)();
        if let Some(left) = &left {
            tracing::error!(left, "The chain has stopped, and something is left undone.");
        }
        self.watchers.tell(&Event::Stopped { after_ms, left });
        tracing::info!(after_ms, "Everything is stopped.");
        drop(self.watchers);
        self.config.sockets.clear();
        self.members.clear();
        self.shutdown.drain(FAREWELL_PATIENCE).await;
        match self.failure {
            Some(failure) => Outcome::StartFailed(failure),
            None => Outcome::Stopped,
        }
    }
}
