//! Everything that the supervisor waits for.

use std::io;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::super::incarnation::Report;
use super::reload::Composed;
use crate::control::server::Command;

/// What the supervisor turns for.
pub(super) enum Wake {
    Report(Report),
    Command(Command),
    Composed(Composed),
    Stop(&'static str),
    Hangup,
    /// Names in the base directory have changed.
    Names,
    Timeout,
}

/// Everything that the supervisor waits for, but for its own timers.
pub(super) struct Inbox {
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) requests: mpsc::Receiver<Command>,
    pub(super) compositions: mpsc::Receiver<Composed>,
    pub(super) names: mpsc::Receiver<()>,
    pub(super) signals: Signals,
}

impl Inbox {
    /// Waits for whatever comes first, until `due` at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was taken.
    pub(super) async fn wait(&mut self, due: Option<Instant>) -> Wake {
        let Signals {
            terminate,
            interrupt,
            hangup,
        } = &mut self.signals;
        tokio::select! {
            Some(report) = self.reports.recv() => Wake::Report(report),
            Some(command) = self.requests.recv() => Wake::Command(command),
            Some(composed) = self.compositions.recv() => Wake::Composed(composed),
            _ = terminate.recv() => Wake::Stop("SIGTERM"),
            _ = interrupt.recv() => Wake::Stop("SIGINT"),
            _ = hangup.recv() => Wake::Hangup,
            Some(()) = self.names.recv() => Wake::Names,
            () = sleep_until(due) => Wake::Timeout,
        }
    }
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
