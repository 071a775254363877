//! Another configuration for a chain that runs: read beside the loop, compared
//! with what there is, done. One that cannot be read changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::super::chain::{self, PartId};
use super::super::part::Essence;
use super::super::watchers::Aim;
use super::Supervisor;
use super::config::Composition;
use super::lives::Member;
use super::requests::refuse;
use crate::protocol::control::{Event, Refusal, Reloaded};

/// Who wants a reload; nobody but us after a SIGHUP.
pub(super) type Asker = Option<mpsc::Sender<Event>>;

/// Whether the configuration is being read.
#[derive(Default)]
pub(super) enum Reading {
    /// It is not.
    #[default]
    No,
    /// It is, and these wanted a reload since.
    Yes(Vec<Asker>),
}

/// A configuration that was read, and for whom.
pub(super) struct Composed {
    composition: Result<Composition, Refusal>,
    asker: Asker,
}

impl Supervisor {
    /// Reads the configuration, after whatever is being read now.
    pub(super) fn begin_reload(&mut self, asker: Asker) {
        if let Reading::Yes(next) = &mut self.reading {
            // A reading that begins later serves every signal before it; each
            // asker is a connection, and those are bounded.
            if asker.is_some() || !next.iter().any(Option::is_none) {
                next.push(asker);
            }
            return;
        }
        self.reading = Reading::Yes(Vec::new());
        let recompose = Arc::clone(&self.config.recompose);
        let done = self.composed.clone();
        self.shutdown.spawn(async move {
            let read = tokio::task::spawn_blocking(move || recompose()).await;
            let composition =
                read.unwrap_or_else(|_| Err(Refusal::impossible("reading it panicked")));
            // A supervisor that is gone wants no configuration.
            _ = done.send(Composed { composition, asker }).await;
        });
    }

    pub(super) fn handle_composed(&mut self, composed: Composed, now: Instant) {
        let Composed { composition, asker } = composed;
        if let Err(refusal) = composition.and_then(|new| self.adopt(new, asker.as_ref(), now)) {
            tracing::error!(
                error = refusal.error,
                "The configuration was not reloaded; nothing changed."
            );
            if let Some(events) = &asker {
                refuse(events, refusal);
            }
        }
        if let Reading::Yes(next) = std::mem::take(&mut self.reading) {
            for asker in next {
                self.begin_reload(asker);
            }
        }
    }

    /// Makes the chain what `new` says.
    fn adopt(
        &mut self,
        new: Composition,
        asker: Option<&mpsc::Sender<Event>>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let essences: BTreeMap<Arc<str>, Essence> = self
            .members
            .values()
            .map(|member| (Arc::clone(&member.spec.plan.name), member.spec.essence))
            .collect();
        let changed = |name: &str| {
            let spec = new.parts.iter().find(|spec| &*spec.plan.name == name);
            spec.map(|spec| &spec.essence) != essences.get(name)
        };
        let plans = new.parts.iter().map(|spec| spec.plan.clone()).collect();
        let done = self.chain.reload(plans, changed, now);
        let done = done.map_err(|refused| Refusal::impossible(refused.to_string()))?;
        for spec in new.parts {
            // Just made or found by the chain.
            if let Some(id) = self.chain.find(&spec.plan.name) {
                let life = self.members.remove(&id).and_then(|member| member.life);
                self.members.insert(id, Member { spec, life });
            }
        }
        self.emulator_key_file = new.emulator_key_file;
        self.login = new.login;
        self.metrics
            .change(new.metrics, &self.commands, &self.shutdown);
        self.tell_reloaded(&done, asker);
        Ok(())
    }

    fn tell_reloaded(&mut self, done: &chain::Reloaded, asker: Option<&mpsc::Sender<Event>>) {
        let reloaded = Reloaded {
            kept: self.names(&done.kept),
            restarted: self.names(&done.restarted),
            started: self.names(&done.started),
            stopped: self.names(&done.stopped),
        };
        tracing::info!(
            kept = ?reloaded.kept,
            restarted = ?reloaded.restarted,
            started = ?reloaded.started,
            stopped = ?reloaded.stopped,
            "The configuration was reloaded."
        );
        if let Some(events) = asker {
            _ = events.try_send(Event::Reloaded(reloaded));
            let touched = [&done.restarted, &done.started, &done.stopped];
            let touched: Vec<PartId> = touched.into_iter().flatten().copied().collect();
            self.watchers.add_for(touched, Aim::Up, events.clone());
        }
    }
}
