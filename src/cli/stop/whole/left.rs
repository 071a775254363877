//! What there is to do once nobody holds the lock.

use super::{FIRST_WORD, Stop};
use crate::cli::daemon::{once_free, still_held};
use crate::cli::exit::Failure;
use crate::cli::service;
use crate::control::client;
use crate::net::unix;
use crate::process::identity::{Fate, Identity};
use crate::process::lease::{self, Outlived};
use crate::protocol::control::{Event, Request};
use crate::supervisor::instance::{Asked, clear_pid_file};

impl Stop {
    /// Nobody holds the lock; whether there was anything to stop.
    ///
    /// A supervisor whose lock file was removed still answers, and is stopped
    /// too. If the lock is ours, nobody can start meanwhile.
    pub(super) async fn free(&mut self, lock: Asked, asked: bool) -> Result<bool, Failure> {
        let astray = if asked {
            None
        } else {
            self.without_lock().await
        };
        if let Some(identity) = &astray {
            self.progress
                .say("  the lock file of a running falco was removed; stopping it all the same");
            self.ask(None).await?;
            while identity.fate() != Fate::Gone {
                self.check_time(None)?;
                self.pause().await?;
            }
        }
        let mut stopped = asked || astray.is_some();
        if let Asked::Ours(_lock) = &lock {
            stopped |= self.end_outliving()?;
            self.clear();
        }
        if stopped {
            self.say_stopped();
        }
        Ok(stopped)
    }

    /// Who answers on the control socket though nobody holds the lock.
    async fn without_lock(&self) -> Option<Identity> {
        let socket = self.paths.control_socket();
        match client::ask(&socket, &Request::Status, FIRST_WORD).await {
            Ok(Event::Status(status)) => Identity::of(status.pid),
            _ => None,
        }
    }

    /// Ends the children of a killed supervisor that did not die with it; whether
    /// there were any. We hold the lock.
    fn end_outliving(&self) -> Result<bool, Failure> {
        let outlived = lease::clear(&self.paths.run()).map_err(|e| still_held(&e))?;
        for Outlived { name, pids } in &outlived {
            self.progress.show(&Event::Outlived {
                part: name.clone(),
                pids: pids.clone(),
            });
        }
        Ok(!outlived.is_empty())
    }

    /// Removes what a killed supervisor and its parts left; we hold the lock.
    fn clear(&self) {
        let sockets = [
            self.paths.falco_socket(),
            self.paths.ably_socket(),
            self.paths.broker_socket(),
            self.paths.control_socket(),
        ];
        // Where systemd listens, to look who is there would start the chain.
        let mine = &sockets[usize::from(service::listens(&self.paths))..];
        for socket in mine.iter().filter(|s| s.exists()) {
            if let Ok(true) = once_free(|| unix::clear_stale(socket)) {
                self.progress
                    .say(&format!("  removed stale socket {}", socket.display()));
            }
        }
        _ = clear_pid_file(&self.paths.pid_file());
    }
}
