//! Accepting on one runtime: connections of our own user only.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::bind::BindError;
use super::listener::Socket;
use super::peer;
use crate::shortage::Shortage;

/// How long to wait before accepting again when descriptors or memory ran out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections of this user on one runtime.
#[derive(Debug)]
pub struct Listener {
    current: Mutex<Current>,
    socket: Arc<Socket>,
    /// Whether nothing could be accepted the last time: said once.
    exhausted: AtomicBool,
}

/// What a listener accepts on now.
#[derive(Debug, Clone)]
struct Current {
    inner: Arc<UnixListener>,
    /// Changes when another one takes its place.
    rebound: watch::Receiver<()>,
}

impl Current {
    /// On the runtime this is called in.
    fn of(socket: &Socket) -> io::Result<Self> {
        let (listener, rebound) = socket.current()?;
        let inner = Arc::new(listener);
        Ok(Self { inner, rebound })
    }
}

impl Listener {
    /// Binds `path` and listens on the current runtime.
    ///
    /// # Errors
    ///
    /// See [`Socket::bind`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        Socket::bind(path)?.listener()
    }

    /// On the runtime this is called in.
    pub(super) fn on(socket: &Arc<Socket>) -> io::Result<Self> {
        Ok(Self {
            current: Mutex::new(Current::of(socket)?),
            socket: Arc::clone(socket),
            exhausted: AtomicBool::new(false),
        })
    }

    /// The path clients connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Replaced as a whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection of our own user (or root).
    ///
    /// Others are closed and logged. Waits out a shortage of descriptors or
    /// memory instead of failing.
    ///
    /// # Errors
    ///
    /// When the socket can accept no more at all.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let mut current = self.current().clone();
            let accepted = tokio::select! {
                biased;
                accepted = current.inner.accept() => accepted,
                Ok(()) = current.rebound.changed() => {
                    *self.current() = Current::of(&self.socket)?;
                    continue;
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) if Shortage::of(&error).is_some() => {
                    if !self.exhausted.swap(true, Ordering::Relaxed) {
                        tracing::warn!(socket = %self.path().display(), %error, "Cannot accept now; will try again.");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            self.exhausted.store(false, Ordering::Relaxed);
            match peer::uid_of(&stream) {
                Ok(uid) if is_trusted(uid) => return Ok(stream),
                Ok(uid) => {
                    tracing::warn!(socket = %self.path().display(), uid, "Refused a connection of another user.");
                }
                Err(error) => {
                    tracing::warn!(socket = %self.path().display(), %error, "Refused a connection of an unknown user.");
                }
            }
        }
    }
}

/// Whether a peer of this user may speak to us.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}
