//! A listening socket and its path: [`Socket`] owns both, a [`Listener`]
//! accepts on one runtime.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{self, Backlog, UnixAddr};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::{Address, PathTooLong, Peer, Probe, probe, stream_socket};

/// Connections the kernel queues while the server is busy or being restarted.
const BACKLOG: i32 = 1024;

/// How long another of us may hold the directory's lock.
///
/// It is held for one probe and one rename, well under a millisecond.
const DIRECTORY_LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before accepting again when descriptors or memory ran out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Why a socket could not be bound or cleared. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("{} is in use{}", path.display(), peer.map(|p| format!(" by {p}")).unwrap_or_default())]
    InUse {
        /// The path asked for.
        path: PathBuf,
        /// Who listens, if known.
        peer: Option<Peer>,
    },
    /// What is there is no socket.
    #[error("{} is {kind}, not a socket; move it away", path.display())]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A stale socket of another user.
    #[error("{} is a socket of user {uid}; it is theirs to remove", path.display())]
    NotOurs {
        /// The path asked for.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The path does not fit into a socket address.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
    /// The directory stayed locked.
    #[error("{} stayed locked by another process", directory.display())]
    Locked {
        /// The directory of the socket.
        directory: PathBuf,
    },
    /// Anything else.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source: source.into(),
        }
    }
}

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
        let current = Current::of(self);
        let current = current.map_err(|e| BindError::io("listen on", &self.path, e))?;
        Ok(Listener {
            current: Mutex::new(current),
            socket: Arc::clone(self),
            exhausted: AtomicBool::new(false),
        })
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
        let _lock = lock_directory(path)?;
        let replaced_stale = check_free(path)?;
        let temporary = path.with_file_name(format!(".{:06x}", rand::random::<u32>() >> 8));
        let made = bind_temporary(&temporary).and_then(|listener| {
            fs::rename(&temporary, path)
                .map_err(|e| BindError::io("rename a socket to", path, e))?;
            Ok(listener)
        });
        let listener = made.inspect_err(|_| _ = fs::remove_file(&temporary))?;
        let id = FileId::of(path).map_err(|e| BindError::io("inspect", path, e))?;
        let name = Name::Own(OwnPath {
            path: path.to_path_buf(),
            id,
        });
        Ok((Self { listener, name }, replaced_stale))
    }
}

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
        let bound = socket.bound();
        // Under the lock: the next rebinding is a change to this receiver.
        let rebound = socket.rebound.subscribe();
        let inner = bound
            .listener
            .try_clone()
            .and_then(UnixListener::from_std)?;
        Ok(Self {
            inner: Arc::new(inner),
            rebound,
        })
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
                Err(error) if is_exhaustion(&error) => {
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
            match stream.peer_cred() {
                Ok(peer) if is_trusted(peer.uid()) => return Ok(stream),
                Ok(peer) => {
                    tracing::warn!(socket = %self.path().display(), uid = peer.uid(), pid = peer.pid(), "Refused a connection of another user.");
                }
                Err(error) => {
                    tracing::warn!(socket = %self.path().display(), %error, "Refused a connection of an unknown user.");
                }
            }
        }
    }
}

/// The file at `path`, if the socket `given` is bound there.
fn bound_at(given: &OwnedFd, path: &Path) -> Option<FileId> {
    let address = socket::getsockname::<UnixAddr>(given.as_raw_fd()).ok()?;
    let there = FileId::of(path).ok()?;
    (FileId::of(address.path()?).ok()? == there).then_some(there)
}

/// Removes a stale socket at `path`; says whether there was one.
///
/// # Errors
///
/// Refuses what is not ours to remove, see [`BindError`].
pub fn clear_stale(path: &Path) -> Result<bool, BindError> {
    let _lock = lock_directory(path)?;
    let stale = check_free(path)?;
    if stale {
        fs::remove_file(path).map_err(|e| BindError::io("remove stale socket", path, e))?;
    }
    Ok(stale)
}

/// Whether a peer of this user may speak to us.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

fn is_exhaustion(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)
    )
}

/// Whether `path` holds a stale socket of ours (true) or nothing (false).
fn check_free(path: &Path) -> Result<bool, BindError> {
    let own = nix::unistd::geteuid().as_raw();
    let path_buf = || path.to_path_buf();
    match probe(path) {
        Probe::Absent => Ok(false),
        Probe::Stale { uid } if uid == own => Ok(true),
        Probe::Stale { uid } => Err(BindError::NotOurs {
            path: path_buf(),
            uid,
        }),
        Probe::Live(peer) => Err(BindError::InUse {
            path: path_buf(),
            peer,
        }),
        Probe::NotASocket(kind) => Err(BindError::NotASocket {
            path: path_buf(),
            kind,
        }),
        Probe::Unknown(source) => Err(BindError::io("probe", path, source)),
    }
}

fn bind_temporary(temporary: &Path) -> Result<StdListener, BindError> {
    let address = Address::of(temporary)?;
    let bind = || -> nix::Result<StdListener> {
        let fd = stream_socket()?;
        socket::bind(fd.as_raw_fd(), &address.sockaddr()?)?;
        nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            address.path(),
            nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR,
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )?;
        socket::listen(&fd, Backlog::new(BACKLOG)?)?;
        Ok(StdListener::from(fd))
    };
    bind().map_err(|e| BindError::io("bind a socket at", temporary, e))
}

/// Serializes bind, clear and unlink in one directory among all of us.
///
/// The lock is on the directory itself, so it leaves no file behind; it goes
/// with the returned descriptor.
fn lock_directory(path: &Path) -> Result<File, BindError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let file = File::open(directory).map_err(|e| BindError::io("open", directory, e))?;
    let deadline = Instant::now() + DIRECTORY_LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => {
                let directory = directory.to_path_buf();
                return Err(BindError::Locked { directory });
            }
            Err(TryLockError::Error(source)) => {
                return Err(BindError::io("lock", directory, source));
            }
        }
    }
}

/// A file by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self {
            dev: meta.dev(),
            ino: meta.ino(),
        })
    }
}

/// A path that goes when this goes, if it still leads to the file we made.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    id: FileId,
}

impl OwnPath {
    /// Of what was just made there.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            id: FileId::of(path)?,
        })
    }

    fn is_ours(&self) -> bool {
        FileId::of(&self.path).is_ok_and(|id| id == self.id)
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let _lock = lock_directory(&self.path);
        if self.is_ours() {
            _ = fs::remove_file(&self.path);
        }
    }
}
