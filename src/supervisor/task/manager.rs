//! Shows the chain to [`Notices`] after every turn and sends what they say.

use std::time::Instant;

use super::super::notices::{Notices, Sight};
use super::super::view;
use super::Supervisor;
use super::config::Manager;
use crate::clock;
use crate::net::notify::Notifier;

/// The service manager that waits to hear of us.
pub(super) struct Listening {
    notifier: Notifier,
    notices: Notices,
}

impl From<Manager> for Listening {
    fn from(manager: Manager) -> Self {
        Self {
            notifier: manager.notifier,
            notices: Notices::new(manager.watchdog),
        }
    }
}

impl Supervisor {
    /// A turn of the loop is completed: tells the service manager what is due.
    pub(super) fn tell_manager(&mut self) {
        let Some(manager) = &mut self.manager else {
            return;
        };
        let sight = Sight {
            outlook: self.chain.outlook(),
            text: view::line(&self.chain),
            deadline: self.chain.poll_timeout(),
            reloading: self.reading.is_under_way(),
            monotonic: clock::monotonic(),
        };
        if let Some(message) = manager.notices.handle_turn(&sight, Instant::now())
            && let Err(error) = manager.notifier.send(&message)
        {
            tracing::warn!(%error, message, "Failed to tell the service manager.");
        }
    }

    /// When the manager is to be told something next.
    pub(super) fn manager_due(&self) -> Option<Instant> {
        let manager = self.manager.as_ref();
        manager.and_then(|manager| manager.notices.poll_timeout())
    }
}
