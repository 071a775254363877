//! How far the journal is: opening, open, or ended.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use nix::libc::{EIO, EROFS};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::super::{Fault, Outbox as Config, Verdict};
use crate::journal::{
    self, Closed, Health, Home, Journal, OpenError, Progress, ReadBack, Reading, Receipt,
    Recovered, Unrecorded,
};
use crate::report::Report;
use crate::shutdown::Shutdown;

/// Effects on their way from the disk.
pub(super) type Read = BoxFuture<'static, Result<Vec<ReadBack>, Closed>>;

type Opened = Result<(Journal, Recovered), OpenError>;

/// How long somebody else may have the journal.
const LOCKED_PATIENCE: Duration = Duration::from_secs(2);

/// How soon it is asked for again.
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// What happened.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// The journal was read.
    Recovered(Box<Recovered>),
    /// There is more to take over of what was read.
    Restoring,
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
    Ended(Verdict),
}

impl Stage {
    /// Opens the journal where it may block.
    pub(super) fn open(config: &Config, shutdown: &Shutdown, reading: &Reading) -> Self {
        let (directory, home) = (config.directory.clone(), &config.home);
        let config = config.journal.clone();
        let (watched, home) = (reading.clone(), home.clone());
        let opening = shutdown.spawn(async move {
            let open = spawn_blocking(move || open_soon(&directory, &config, &watched, &home));
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
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Ended(verdict) => Some(verdict.clone()),
            _ => match self.health()? {
                Health::Failed { why } => Some(Verdict {
                    why: format!("the journal has failed: {why}"),
                    fault: Fault::Disk,
                }),
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
                *self = Self::Ended(Verdict {
                    why: Report(&error).to_string(),
                    fault: fault(&error),
                });
                Event::Ended
            }
        }
    }
}

/// What it means that the journal cannot be opened.
fn fault(error: &OpenError) -> Fault {
    match error {
        OpenError::NewerVersion { .. } | OpenError::UnknownRecord { .. } => Fault::Newer,
        OpenError::Insecure { .. } => Fault::Insecure,
        OpenError::Read { .. } => Fault::Disk,
        OpenError::Io { source, .. } if matches!(source.raw_os_error(), Some(EIO | EROFS)) => {
            Fault::Disk
        }
        OpenError::Locked { .. }
        | OpenError::Astray(_)
        | OpenError::Io { .. }
        | OpenError::Thread(_) => Fault::Other,
    }
}

/// Opens the journal once a `falco outbox` that changes it has let go.
fn open_soon(directory: &Path, config: &journal::Config, reading: &Reading, home: &Home) -> Opened {
    let until = Instant::now() + LOCKED_PATIENCE;
    loop {
        match Journal::open_watched(directory, config, reading, home) {
            Err(OpenError::Locked { .. }) if Instant::now() < until => {
                std::thread::sleep(LOCKED_PAUSE);
            }
            opened => return opened,
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
    let (has_receipt, has_read) = (receipt.is_some(), read.is_some());
    tokio::select! {
        recorded = or_never(receipt), if has_receipt => Event::Recorded(recorded.map(drop)),
        read = or_never(read), if has_read => Event::Read(read),
        () = news(health) => Event::Changed,
        () = news(progress), if is_blocked => Event::Changed,
    }
}

/// Until there is something new. The journal's last word is heard also when the
/// journal has ended; after it there is nothing to wait for.
async fn news<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn or_never<F: Future + Unpin>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_business_it_is_that_a_journal_cannot_be_opened_is_told() {
        let io = |errno| OpenError::Io {
            doing: "read journal",
            path: "outbox".into(),
            source: std::io::Error::from_raw_os_error(errno),
        };
        let insecure = OpenError::Insecure {
            path: "outbox".into(),
            reason: "others may enter it",
        };
        assert_eq!(fault(&io(EIO)), Fault::Disk);
        assert_eq!(fault(&io(EROFS)), Fault::Disk);
        assert_eq!(fault(&io(nix::libc::ENOTDIR)), Fault::Other);
        assert_eq!(fault(&insecure), Fault::Insecure);
    }

    #[tokio::test]
    async fn the_last_word_of_a_journal_that_has_ended_is_heard_once() {
        let (tell, mut watched) = watch::channel(1);
        tell.send_replace(2);
        drop(tell);
        news(&mut watched).await;
        let again = news(&mut watched);
        let (mut never, mut now) = (Box::pin(again), std::future::ready(()));
        tokio::select! {
            biased;
            () = &mut never => panic!("there is nothing new"),
            () = &mut now => {}
        }
    }
}
