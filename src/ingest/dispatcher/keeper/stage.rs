//! How far the journal is: opening, open, or ended.

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::super::Outbox as Config;
use crate::journal::{
    Closed, Health, Journal, OpenError, Progress, ReadBack, Receipt, Recovered, Unrecorded,
};
use crate::report::Report;
use crate::shutdown::Shutdown;

/// Effects on their way from the disk.
pub(super) type Read = BoxFuture<'static, Result<Vec<ReadBack>, Closed>>;

type Opened = Result<(Journal, Recovered), OpenError>;

/// What happened.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// The journal was read.
    Recovered(Box<Recovered>),
    /// It ended, or was never open.
    Ended,
    /// The oldest append is done.
    Recorded(Result<(), Unrecorded>),
    /// What was to be read is.
    Read(Result<Vec<ReadBack>, Closed>),
    /// Its health changed, or there may be room again.
    Changed,
}

#[derive(Debug)]
pub(super) enum Stage {
    Opening(JoinHandle<Opened>),
    Open {
        journal: Journal,
        health: watch::Receiver<Health>,
        progress: watch::Receiver<Progress>,
    },
    Ended(String),
}

impl Stage {
    /// Opens the journal where it may block.
    pub(super) fn open(config: &Config, shutdown: &Shutdown) -> Self {
        let (directory, config) = (config.directory.clone(), config.journal.clone());
        let opening = shutdown.spawn(async move {
            let open = spawn_blocking(move || Journal::open(&directory, &config));
            open.await.unwrap_or_else(|panic| {
                Err(OpenError::Thread(std::io::Error::other(panic.to_string())))
            })
        });
        Self::Opening(opening)
    }

    pub(super) fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Open { journal, .. } => Some(journal),
            Self::Opening(_) | Self::Ended(_) => None,
        }
    }

    pub(super) fn health(&self) -> Option<Health> {
        match self {
            Self::Open { health, .. } => Some(health.borrow().clone()),
            Self::Opening(_) | Self::Ended(_) => None,
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(_))
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_)) || matches!(self.health(), Some(Health::Failed { .. }))
    }

    /// Why Falco should end, if it should.
    pub(super) fn verdict(&self) -> Option<String> {
        match self {
            Self::Ended(why) => Some(why.clone()),
            _ => match self.health()? {
                Health::Failed { why } => Some(format!("the journal has failed: {why}")),
                _ => None,
            },
        }
    }

    fn opened(&mut self, opened: Opened) -> Event {
        match opened {
            Ok((journal, recovered)) => {
                *self = Self::Open {
                    health: journal.health(),
                    progress: journal.progress(),
                    journal,
                };
                Event::Recovered(Box::new(recovered))
            }
            Err(error) => {
                *self = Self::Ended(Report(&error).to_string());
                Event::Ended
            }
        }
    }
}

/// Waits for the next thing to happen; cancel safe.
pub(super) async fn event(
    stage: &mut Stage,
    is_blocked: bool,
    receipt: Option<&mut Receipt>,
    read: Option<&mut Read>,
) -> Event {
    let (health, progress) = match stage {
        Stage::Opening(opening) => {
            let opened = opening.await;
            let opened = opened.unwrap_or_else(|error| {
                Err(OpenError::Thread(std::io::Error::other(error.to_string())))
            });
            return stage.opened(opened);
        }
        Stage::Open {
            health, progress, ..
        } => (health, progress),
        Stage::Ended(_) => return std::future::pending().await,
    };
    let is_watched = health.has_changed().is_ok();
    let (has_receipt, has_read) = (receipt.is_some(), read.is_some());
    tokio::select! {
        recorded = or_never(receipt), if has_receipt => Event::Recorded(recorded.map(drop)),
        read = or_never(read), if has_read => Event::Read(read),
        _ = health.changed(), if is_watched => Event::Changed,
        _ = progress.changed(), if is_blocked => Event::Changed,
        else => std::future::pending().await,
    }
}

async fn or_never<F: Future + Unpin>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
