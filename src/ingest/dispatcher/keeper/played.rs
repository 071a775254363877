//! Without a runtime: for simulations.

use futures_util::FutureExt as _;

use super::stage::{Event, Stage};
use super::{Config, Keeper, Unread};
use crate::delivery;
use crate::journal::{Journal, Reading};
use crate::shutdown::Shutdown;

impl Keeper {
    /// With a journal that is not open yet.
    pub(in super::super) fn unopened(config: Config) -> Self {
        let opening = Stage::Opening(tokio::spawn(std::future::pending()));
        let patience = delivery::Config::default().effect_deadline;
        let unread = (Reading::default(), Unread::new(patience));
        Self::on(opening, unread, config, &Shutdown::new())
    }

    /// It is open now.
    pub(in super::super) fn open(&mut self, journal: Journal) {
        self.stage = Stage::Open {
            health: journal.health(),
            progress: journal.progress(),
            journal,
        };
    }

    /// Whether nothing waits to be published.
    pub(in super::super) fn is_drained(&self) -> bool {
        self.outbox.backlog().open == 0
    }

    /// What has happened by now, if anything.
    pub(in super::super) fn happened(&mut self) -> Option<Event> {
        if self.restoring.is_some() {
            return Some(Event::Restoring);
        }
        let pending = self.pending.front_mut();
        if let Some(result) = pending.and_then(|p| (&mut p.receipt).now_or_never()) {
            return Some(Event::Recorded(result.map(drop)));
        }
        let loading = self.loading.as_mut();
        if let Some(read) = loading.and_then(|l| (&mut l.read).now_or_never()) {
            return Some(Event::Read(read));
        }
        let Stage::Open { health, .. } = &mut self.stage else {
            return None;
        };
        let is_new = matches!(health.changed().now_or_never(), Some(Ok(())));
        is_new.then_some(Event::Changed)
    }
}
