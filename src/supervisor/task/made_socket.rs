//! The socket that the transport makes for itself: it is known by the file that
//! was there when the transport got ready. If its path is taken away, nobody
//! reaches the transport any more, and only a new life of it makes another.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

use super::super::chain::{PartId, State};
use super::super::view;
use super::Supervisor;
use crate::net::unix::{self, Probe};
use crate::process::group;
use crate::protocol::control::SocketStatus;

/// A file by device and inode.
type FileId = (u64, u64);

/// The socket of one life of the transport.
#[derive(Debug)]
pub(super) struct Made {
    part: PartId,
    incarnation: u32,
    socket: Option<FileId>,
}

impl Supervisor {
    /// A part is ready: if it is the transport, what is at its path is its own.
    pub(super) fn note_made_socket(&mut self, part: PartId, incarnation: u32, now: Instant) {
        if self.transport() != Some(part) {
            return;
        }
        let socket = socket_at(&self.config.ably_socket);
        self.made = Some(Made {
            part,
            incarnation,
            socket,
        });
        self.look_at_made_socket(now);
    }

    /// Compares the path with what was made there.
    pub(super) fn look_at_made_socket(&mut self, now: Instant) {
        self.learn_of_another();
        let path = self.config.ably_socket.clone();
        match self.made_socket_is_in_place() {
            Some(in_place) => self.note_place(&path, in_place, now),
            None if self.transport().is_none() => _ = self.lost.remove(&path),
            None => {}
        }
    }

    /// Whether the path of the transport's socket leads to it; `None` while the
    /// transport is not ready.
    pub(super) fn made_socket_is_in_place(&self) -> Option<bool> {
        let made = self.made.as_ref()?;
        let part = self.chain.part(made.part)?;
        let same = part.incarnation == made.incarnation;
        if !same || !matches!(part.state, State::Ready { .. }) {
            return None;
        }
        let there = socket_at(&self.config.ably_socket);
        Some(there.is_some() && there == made.socket)
    }

    /// A transport that is not ours may have bound its path anew by itself.
    fn learn_of_another(&mut self) {
        if self.made_socket_is_in_place() != Some(false) {
            return;
        }
        let path = &self.config.ably_socket;
        let (Some(there), Probe::Live(Some(peer))) = (socket_at(path), unix::probe(path)) else {
            return;
        };
        let leader = self.made.as_ref().and_then(|made| self.pid(made.part));
        let owns = |leader| group::members(leader).contains(&peer.pid.cast_unsigned());
        if leader.is_some_and(owns)
            && let Some(made) = &mut self.made
        {
            made.socket = Some(there);
        }
    }

    /// Restarts a transport whose path has been free for a while; what somebody
    /// put there is theirs.
    pub(super) fn remake_socket(&mut self, now: Instant) {
        let path = &self.config.ably_socket;
        if self.lost.get(path).is_none_or(|due| now < *due) {
            return;
        }
        let free = matches!(unix::probe(path), Probe::Absent);
        self.look_again_later(&path.clone(), now);
        if let Some(part) = self.transport().filter(|_| free)
            && self.made_socket_is_in_place() == Some(false)
        {
            let name = self.name(part);
            tracing::warn!(part = name, "Restarting it: its socket was removed.");
            // It is ready, so nothing is in its way.
            _ = self.chain.restart(part, now);
        }
    }

    /// How the socket is, while the transport answers.
    pub(super) fn made_socket(&self) -> Option<SocketStatus> {
        let in_place = self.made_socket_is_in_place()?;
        Some(view::socket_status(&self.config.ably_socket, in_place))
    }

    /// The part that makes it, known by where it listens.
    pub(super) fn transport(&self) -> Option<PartId> {
        let place = self.config.ably_socket.display().to_string();
        let mut members = self.members.iter();
        let (id, _) = members.find(|(_, member)| member.spec.place == place)?;
        Some(*id)
    }
}

fn socket_at(path: &Path) -> Option<FileId> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    let is_socket = meta.file_type().is_socket();
    is_socket.then(|| (meta.dev(), meta.ino()))
}
