//! The paths of the chain's sockets: that somebody took one away is noticed, told,
//! and mended once the path is free. What somebody put in its place is theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::super::chain::Outlook;
use super::Supervisor;
use crate::net::directory::Directory;
use crate::net::unix::Socket;
use crate::protocol::life::Life;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// How long whoever took a path away has to put something else there, and how
/// long after that it is tried again.
const REBIND_AFTER: Duration = Duration::from_secs(5);

/// How often a directory that is gone is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Paths that do not lead to our sockets any more, and when they are bound
/// again.
pub(super) type Lost = BTreeMap<PathBuf, Instant>;

/// Tells, from a task of its own, when names in `directory` have changed, until
/// the receiver is closed.
pub(super) fn watch(directory: PathBuf, shutdown: &Shutdown) -> mpsc::Receiver<()> {
    // One is enough: it means "look".
    let (tell, told) = mpsc::channel(1);
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = stop.begun() => {}
            () = tell.closed() => {}
            () = tell_changes(&directory, &tell) => {}
        }
    });
    told
}

async fn tell_changes(directory: &Path, tell: &mpsc::Sender<()>) {
    loop {
        match Directory::watch(directory) {
            Ok(watched) => {
                _ = tell.try_send(());
                while watched.changed().await.is_ok() {
                    _ = tell.try_send(());
                }
            }
            Err(error) => tracing::debug!(%error, "Cannot watch the base directory."),
        }
        _ = tell.try_send(());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Supervisor {
    /// Compares every socket with its path.
    pub(super) fn look_at_sockets(&mut self, now: Instant) {
        if self.is_going() {
            return;
        }
        for socket in self.own_sockets() {
            self.note_place(socket.path(), socket.is_in_place(), now);
        }
        self.look_at_made_socket(now);
    }

    /// Notes whether `path` leads to a socket of the chain, if that is news.
    pub(super) fn note_place(&mut self, path: &Path, in_place: bool, now: Instant) {
        let place = path.display().to_string();
        match (in_place, self.lost.contains_key(path)) {
            (false, false) => {
                tracing::warn!(socket = place, "A socket was removed or replaced.");
                self.look_again_later(path, now);
                self.journal.note(Life::SocketLost { path: place });
            }
            (true, true) => {
                tracing::info!(socket = place, "A socket is in its place again.");
                self.lost.remove(path);
                self.journal.note(Life::SocketBack { path: place });
            }
            _ => {}
        }
    }

    pub(super) fn look_again_later(&mut self, path: &Path, now: Instant) {
        self.lost.insert(path.to_path_buf(), now + REBIND_AFTER);
    }

    /// When the next lost socket is bound again.
    pub(super) fn rebind_due(&self) -> Option<Instant> {
        self.lost
            .values()
            .min()
            .copied()
            .filter(|_| !self.is_going())
    }

    /// Binds again what is due, where the path is free.
    pub(super) fn rebind(&mut self, now: Instant) {
        if self.rebind_due().is_none_or(|due| now < due) {
            return;
        }
        for socket in self.own_sockets() {
            let Some(due) = self.lost.get_mut(socket.path()).filter(|due| **due <= now) else {
                continue;
            };
            *due = now + REBIND_AFTER;
            if let Err(error) = socket.rebind() {
                tracing::debug!(error = %Report(&error), "A lost socket cannot be bound again yet.");
            }
        }
        self.remake_socket(now);
        self.look_at_sockets(now);
    }

    fn own_sockets(&self) -> Vec<Arc<Socket>> {
        let control = std::iter::once(&self.config.control);
        control.chain(&self.config.sockets).cloned().collect()
    }

    pub(super) fn is_going(&self) -> bool {
        matches!(self.chain.outlook(), Outlook::Stopping | Outlook::Stopped)
    }
}
