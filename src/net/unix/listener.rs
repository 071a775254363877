//! A socket that listens, and the path that is its own.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{self, UnixAddr};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::accept::Listener;
use super::bind::{self, BindError};
use super::own_path::{FileId, OwnPath};

/// A listening socket and the path that is its own, without a runtime.
///
/// Outlives the servers that accept on it: a server that failed is started
/// again on the same socket, and clients wait in the backlog meanwhile. The
/// path is unlinked when the last [`Listener`] and the `Socket` are gone,
/// unless a service manager has bound it: then it is the manager's.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    bound: Mutex<Bound>,
    /// Tells listeners that they listen on a socket nobody can reach any more.
    rebound: watch::Sender<()>,
    replaced_stale: bool,
}

#[derive(Debug)]
struct Bound {
    listener: StdListener,
    name: Name,
}

/// Whose the path of a socket is.
#[derive(Debug)]
enum Name {
    /// Ours: we made it and take it away.
    Own(OwnPath),
    /// Of whoever handed the socket over; left alone.
    Given(PathBuf, FileId),
}

impl Name {
    /// Whether the path still leads to the socket.
    fn is_in_place(&self) -> bool {
        match self {
            Self::Own(name) => name.is_ours(),
            Self::Given(path, id) => FileId::of(path).is_ok_and(|there| there == *id),
        }
    }
}

impl Socket {
    /// Binds `path`, mode 0600, and listens.
    ///
    /// # Errors
    ///
    /// Refuses what is not ours to replace, see [`BindError`].
    pub fn bind(path: &Path) -> Result<Arc<Self>, BindError> {
        let (bound, replaced_stale) = Bound::at(path)?;
        Ok(Arc::new(Self {
            path: path.to_path_buf(),
            bound: Mutex::new(bound),
            rebound: watch::Sender::new(()),
            replaced_stale,
        }))
    }

    /// The socket `given` as our own at `path`, if that is where it is bound;
    /// a service manager has bound it and listens on it for us.
    ///
    /// # Errors
    ///
    /// Gives it back when it is another socket.
    pub fn adopt(given: OwnedFd, path: &Path) -> Result<Arc<Self>, OwnedFd> {
        let Some(id) = bound_at(&given, path) else {
            return Err(given);
        };
        let listener = StdListener::from(given);
        if let Err(error) = listener.set_nonblocking(true) {
            tracing::warn!(socket = %path.display(), %error, "A socket that was handed over cannot be used.");
            return Err(listener.into());
        }
        let name = Name::Given(path.to_path_buf(), id);
        Ok(Arc::new(Self {
            path: path.to_path_buf(),
            bound: Mutex::new(Bound { listener, name }),
            rebound: watch::Sender::new(()),
            replaced_stale: false,
        }))
    }

    /// A listener on the runtime this is called in.
    ///
    /// If the path was removed or replaced meanwhile, it is bound anew: a
    /// server that is started again can be reached again.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be duplicated or registered, or what is at
    /// the path by now is not ours to replace.
    pub fn listener(self: &Arc<Self>) -> Result<Listener, BindError> {
        self.rebind()?;
        Listener::on(self).map_err(|e| BindError::io("listen on", &self.path, e))
    }

    /// Binds the path anew if it was removed or replaced; whoever listens goes
    /// on there. A path that a service manager made is left to it.
    ///
    /// # Errors
    ///
    /// When what is at the path by now is not ours to replace.
    pub fn rebind(&self) -> Result<(), BindError> {
        let mut bound = self.bound();
        if matches!(&bound.name, Name::Own(name) if !name.is_ours()) {
            *bound = Bound::at(&self.path)?.0;
            tracing::warn!(socket = %self.path.display(), "A socket was removed or replaced; bound it again.");
            self.rebound.send_replace(());
        }
        Ok(())
    }

    /// What to accept on now, on the runtime this is called in, and what tells
    /// when another one takes its place.
    pub(super) fn current(&self) -> io::Result<(UnixListener, watch::Receiver<()>)> {
        let bound = self.bound();
        // Under the lock: the next rebinding is a change to this receiver.
        let rebound = self.rebound.subscribe();
        let listener = bound.listener.try_clone()?;
        Ok((UnixListener::from_std(listener)?, rebound))
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        // Nothing in there can be left half done.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path clients connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path was a stale socket before.
    #[must_use]
    pub fn replaced_stale(&self) -> bool {
        self.replaced_stale
    }

    /// Whether the path still leads to this socket.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.bound().name.is_in_place()
    }
}

impl Bound {
    /// Whether a stale socket had to go comes with it.
    fn at(path: &Path) -> Result<(Self, bool), BindError> {
        let bind::Made {
            listener,
            name,
            replaced_stale,
        } = bind::make(path)?;
        let name = Name::Own(name);
        Ok((Self { listener, name }, replaced_stale))
    }
}

/// The file at `path`, if the socket `given` is bound there.
fn bound_at(given: &OwnedFd, path: &Path) -> Option<FileId> {
    let address = socket::getsockname::<UnixAddr>(given.as_raw_fd()).ok()?;
    let there = FileId::of(path).ok()?;
    (FileId::of(address.path()?).ok()? == there).then_some(there)
}
