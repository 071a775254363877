//! What others left for a supervisor that starts: sockets a service manager
//! hands over, sockets and children of a supervisor that was killed.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::exit::Failure;
use super::{once_free, still_held};
use crate::net::unix::{self, Socket};
use crate::process::capture::Journal;
use crate::process::lease::{self, Outlived};
use crate::protocol::control::Event;
use crate::protocol::life::Life;

/// Takes over what was left, and tells of it.
pub(super) struct Leftovers {
    pub(super) journal: Journal,
    pub(super) events: mpsc::Sender<Event>,
    /// Sockets that a service manager handed over.
    pub(super) given: Vec<OwnedFd>,
}

impl Leftovers {
    /// Ends the children of a killed supervisor that did not die with it.
    pub(super) fn end_children(&self, leases: &Path) -> Result<(), Failure> {
        for Outlived { name, pids } in lease::clear(leases).map_err(|e| still_held(&e))? {
            tracing::warn!(
                part = name,
                ?pids,
                "Ended what had outlived its supervisor."
            );
            self.journal.note(Life::OutlivedEnded {
                part: name.clone(),
                pids: pids.clone(),
            });
            _ = self.events.try_send(Event::Outlived { part: name, pids });
        }
        Ok(())
    }

    /// The socket at `path`: the one that was handed over, else one of our own.
    pub(super) fn bind(&mut self, path: &Path) -> Result<Arc<Socket>, Failure> {
        for index in 0..self.given.len() {
            match Socket::adopt(self.given.swap_remove(index), path) {
                Ok(socket) => return Ok(socket),
                Err(other) => self.given.push(other),
            }
        }
        let socket = once_free(|| Socket::bind(path))?;
        if socket.replaced_stale() {
            self.say_stale(path);
        }
        Ok(socket)
    }

    /// Makes sure that the transport's path is free: it binds there itself.
    pub(super) fn clear(&self, path: &Path) -> Result<(), Failure> {
        if once_free(|| unix::clear_stale(path))? {
            self.say_stale(path);
        }
        Ok(())
    }

    /// Closes what was handed over and is none of ours.
    pub(super) fn refuse_the_rest(self) {
        for _ in self.given {
            tracing::warn!("A socket was handed over that is none of ours; it is not used.");
        }
    }

    fn say_stale(&self, path: &Path) {
        tracing::warn!(socket = %path.display(), "Removed a stale socket.");
        let path = path.display().to_string();
        self.journal.note(Life::StaleCleared { path: path.clone() });
        _ = self.events.try_send(Event::StaleSocket { path });
    }
}
