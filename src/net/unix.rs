//! Unix sockets: bind, probe, connect, accept, unlink. Nobody else does.
//!
//! Owns the path of every socket we listen on. A path comes to life by being
//! bound under a temporary name, made 0600, listening, and only then renamed
//! into place: whoever finds it can connect. It goes with its [`Socket`], and
//! only if the file there is still the one we made.
//!
//! Never removes or replaces what is not ours: a regular file, a symbolic link,
//! another user's socket and a socket that somebody answers on are refused.
//! A stale socket (ours, and the kernel says nobody listens) is replaced.
//! Two of us over one stale path are serialized by a lock on its directory.
//!
//! ```text
//! lstat(path)      connect(path)      verdict
//! ENOENT           -                  Absent
//! not a socket     -                  NotASocket
//! socket           accepted, EAGAIN   Live (EAGAIN: the backlog is full)
//! socket           ECONNREFUSED       Stale
//! anything else                       Unknown
//! ```

mod address;
mod listener;
mod notices;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};
use tokio::net::UnixStream;
use tokio::time::Instant;

use address::Address;

pub use listener::{BindError, Listener, Socket, clear_stale};
pub use notices::{Notice, Notices};

/// How often a connect is tried again while the listener's backlog is full.
const BUSY_RETRY: Duration = Duration::from_millis(5);

/// What a socket path turned out to be.
#[derive(Debug)]
pub enum Probe {
    /// There is no such file.
    Absent,
    /// Somebody listens; this is who, where the kernel says it.
    Live(Option<Peer>),
    /// A socket nobody listens on, with its owner.
    Stale {
        /// The user the file belongs to.
        uid: u32,
    },
    /// A file, directory or symbolic link.
    NotASocket(&'static str),
    /// It could not be found out.
    Unknown(io::Error),
}

/// The process at the other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process id.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {}, uid {}", self.pid, self.uid)
    }
}

/// Why a socket could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No such file.
    #[error("there is no socket {}", path.display())]
    Absent {
        /// The path tried.
        path: PathBuf,
    },
    /// The socket is there, nobody listens.
    #[error("nobody listens on {}", path.display())]
    Refused {
        /// The path tried.
        path: PathBuf,
    },
    /// The listener takes no more connections.
    #[error("{} accepted no connection within {} ms", path.display(), waited.as_millis())]
    TimedOut {
        /// The path tried.
        path: PathBuf,
        /// How long it was tried.
        waited: Duration,
    },
    /// The path does not fit into a socket address.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
    /// Anything else.
    #[error("failed to connect to {}", path.display())]
    Io {
        /// The path tried.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A socket path that fits into no socket address.
#[derive(Debug, thiserror::Error)]
#[error(
    "socket path {} has {} bytes and the limit is {limit}: choose a shorter base directory",
    path.display(),
    path.as_os_str().len()
)]
pub struct PathTooLong {
    /// The path.
    pub path: PathBuf,
    /// The most bytes a path may have here.
    pub limit: usize,
}

/// Finds out what is at `path`, without waiting.
///
/// A listener sees one connection come and go. Only the holder of the lock over
/// `path` may conclude from `Stale` that it may be replaced.
#[must_use]
pub fn probe(path: &Path) -> Probe {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Probe::Absent,
        Err(error) => return Probe::Unknown(error),
    };
    let kind = meta.file_type();
    if !kind.is_socket() {
        return Probe::NotASocket(if kind.is_symlink() {
            "a symbolic link"
        } else if kind.is_dir() {
            "a directory"
        } else if kind.is_file() {
            "a regular file"
        } else {
            "a special file"
        });
    }
    match connect_now(path) {
        Ok(fd) => Probe::Live(listener_of(&fd)),
        Err(Errno::EAGAIN | Errno::EINPROGRESS) => Probe::Live(None),
        Err(Errno::ECONNREFUSED) => Probe::Stale { uid: meta.uid() },
        Err(Errno::ENOENT) => Probe::Absent,
        Err(errno) => Probe::Unknown(errno.into()),
    }
}

/// Connects to `path`, waiting up to `patience` while the backlog is full.
///
/// # Errors
///
/// Says whether there is no socket, nobody listens, or time ran out.
pub async fn connect(path: &Path, patience: Duration) -> Result<UnixStream, ConnectError> {
    let address = Address::of(path)?;
    let deadline = Instant::now() + patience;
    let path = || path.to_path_buf();
    loop {
        let error = match UnixStream::connect(address.path()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::NotFound => return Err(ConnectError::Absent { path: path() }),
            io::ErrorKind::ConnectionRefused => {
                return Err(ConnectError::Refused { path: path() });
            }
            io::ErrorKind::WouldBlock if Instant::now() < deadline => {
                tokio::time::sleep(BUSY_RETRY).await;
            }
            io::ErrorKind::WouldBlock => {
                let waited = patience;
                let path = path();
                return Err(ConnectError::TimedOut { path, waited });
            }
            _ => {
                let path = path();
                return Err(ConnectError::Io {
                    path,
                    source: error,
                });
            }
        }
    }
}

/// One non-blocking connect: on a unix socket it succeeds or fails at once.
fn connect_now(path: &Path) -> Result<OwnedFd, Errno> {
    let address = Address::of(path).map_err(|_| Errno::ENAMETOOLONG)?;
    let fd = stream_socket()?;
    socket::connect(fd.as_raw_fd(), &address.sockaddr()?)?;
    Ok(fd)
}

/// A non-blocking, close-on-exec stream socket.
fn stream_socket() -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
    }
    #[cfg(not(target_os = "linux"))]
    {
        use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
        let fd = socket::socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::empty(),
            None,
        )?;
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(fd)
    }
}

/// Who called `listen` on the socket `fd` is connected to.
#[cfg(target_os = "linux")]
fn listener_of(fd: &OwnedFd) -> Option<Peer> {
    let peer = socket::getsockopt(fd, socket::sockopt::PeerCredentials).ok()?;
    Some(Peer {
        pid: peer.pid(),
        uid: peer.uid(),
    })
}

/// Who called `listen` on the socket `fd` is connected to: not known here.
#[cfg(not(target_os = "linux"))]
fn listener_of(_fd: &OwnedFd) -> Option<Peer> {
    None
}

#[cfg(test)]
mod tests;
