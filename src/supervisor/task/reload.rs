//! Another configuration for a chain that runs: read beside the loop, compared
//! with what there is, done. One that cannot be read changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::chain::{self, PartId};
use super::super::part::Essence;
use super::super::watchers::Aim;
use super::Supervisor;
use super::config::Composition;
use super::lives::Member;
use super::requests::refuse;
use crate::protocol::control::{Event, Refusal, Reloaded};
use crate::protocol::life::Life;

/// How long the configuration may take to be read: a few files.
const READ_PATIENCE: Duration = Duration::from_secs(10);

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
    /// It hangs, and nobody waits for it any more. Nothing is read beside it: a
    /// file that hangs would take a thread each time.
    Hangs,
}

impl Reading {
    /// Whether something will come of it.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

/// What came of reading the configuration.
pub(super) enum Composed {
    /// It was read, for this one.
    Read(Result<Composition, Refusal>, Asker),
    /// It was not, in time.
    Late(Asker),
    /// What was late is over.
    Over,
}

impl Supervisor {
    /// Reads the configuration, after whatever is being read now.
    pub(super) fn begin_reload(&mut self, asker: Asker) {
        match &mut self.reading {
            Reading::No => {}
            Reading::Yes(next) => {
                // A reading that begins later serves every signal before it; each
                // asker is a connection, and those are bounded.
                if asker.is_some() || !next.iter().any(Option::is_none) {
                    next.push(asker);
                }
                return;
            }
            Reading::Hangs => return self.refuse_reload(asker.as_ref(), hangs()),
        }
        self.reading = Reading::Yes(Vec::new());
        let recompose = Arc::clone(&self.config.recompose);
        let (done, stop) = (self.composed.clone(), self.shutdown.clone());
        self.shutdown.spawn(async move {
            let reading = tokio::task::spawn_blocking(move || recompose());
            tokio::select! {
                () = stop.begun() => {}
                () = report(reading, asker, done) => {}
            }
        });
    }

    pub(super) fn handle_composed(&mut self, composed: Composed, now: Instant) {
        let next = match std::mem::take(&mut self.reading) {
            Reading::Yes(next) => next,
            Reading::No | Reading::Hangs => Vec::new(),
        };
        match composed {
            Composed::Read(composition, asker) => {
                let done = composition.and_then(|new| self.adopt(new, asker.as_ref(), now));
                if let Err(refusal) = done {
                    self.refuse_reload(asker.as_ref(), refusal);
                }
            }
            Composed::Late(asker) => {
                self.reading = Reading::Hangs;
                self.refuse_reload(asker.as_ref(), hangs());
            }
            Composed::Over => tracing::info!("The configuration can be read again."),
        }
        for asker in next {
            self.begin_reload(asker);
        }
    }

    fn refuse_reload(&self, asker: Option<&mpsc::Sender<Event>>, refusal: Refusal) {
        let error = refusal.error.clone();
        tracing::error!(
            error,
            "The configuration was not reloaded; nothing changed."
        );
        self.journal.note(Life::ReloadRefused { error });
        if let Some(events) = asker {
            refuse(events, refusal);
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
        let mut updated = Vec::new();
        for spec in new.parts {
            // Just made or found by the chain.
            if let Some(id) = self.chain.find(&spec.plan.name) {
                let before = self.members.remove(&id);
                if before
                    .as_ref()
                    .is_some_and(|before| !before.spec.is_treated_as(&spec))
                {
                    updated.push(id);
                }
                let life = before.and_then(|member| member.life);
                self.members.insert(id, Member { spec, life });
            }
        }
        self.emulator_key_file = new.emulator_key_file;
        self.login = new.login;
        self.metrics
            .change(new.metrics, &self.commands, &self.shutdown);
        self.tell_reloaded(&done, &updated, asker);
        Ok(())
    }

    fn tell_reloaded(
        &mut self,
        done: &chain::Reloaded,
        updated: &[PartId],
        asker: Option<&mpsc::Sender<Event>>,
    ) {
        let kept = done.kept.iter().copied();
        let (updated, kept): (Vec<_>, Vec<_>) = kept.partition(|id| updated.contains(id));
        let reloaded = Reloaded {
            kept: self.names(&kept),
            updated: self.names(&updated),
            restarted: self.names(&done.restarted),
            started: self.names(&done.started),
            stopped: self.names(&done.stopped),
        };
        tracing::info!(
            kept = ?reloaded.kept,
            updated = ?reloaded.updated,
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

/// Says what comes of `reading`, which cannot be ended, and that it is late.
async fn report(
    mut reading: JoinHandle<Result<Composition, Refusal>>,
    asker: Asker,
    done: mpsc::Sender<Composed>,
) {
    // A supervisor that is gone wants no configuration.
    if let Ok(read) = tokio::time::timeout(READ_PATIENCE, &mut reading).await {
        let composition = read.unwrap_or_else(|_| Err(Refusal::impossible("reading it panicked")));
        _ = done.send(Composed::Read(composition, asker)).await;
        return;
    }
    _ = done.send(Composed::Late(asker)).await;
    _ = reading.await;
    _ = done.send(Composed::Over).await;
}

fn hangs() -> Refusal {
    let seconds = READ_PATIENCE.as_secs();
    let error = format!("the configuration could not be read within {seconds} s: a file hangs");
    Refusal::impossible(error)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_configuration_that_cannot_be_read_in_time_keeps_nobody_waiting() {
        let (done, mut told) = mpsc::channel(1);
        let (goes_on, hangs) = oneshot::channel();
        let read = async { hangs.await.expect("it goes on") };
        let (began, reading) = (Instant::now(), tokio::spawn(read));
        let reporting = tokio::spawn(report(reading, None, done));
        assert!(matches!(told.recv().await, Some(Composed::Late(None))));
        assert_eq!(began.elapsed(), READ_PATIENCE);
        // Nothing else is read before it is over.
        assert!(told.try_recv().is_err());
        assert!(goes_on.send(Err(Refusal::impossible("whatever"))).is_ok());
        assert!(matches!(told.recv().await, Some(Composed::Over)));
        reporting.await.expect("it ends");
    }
}
