//! How a path comes to be a listening socket, and what may be there before.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{self, Backlog};

use super::address::{Address, PathTooLong};
use super::own_path::{OwnPath, lock_directory};
use super::peer::Peer;
use super::{Probe, probe, stream_socket};

/// Connections the kernel queues while the server is busy or being restarted.
const BACKLOG: i32 = 1024;

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
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source: source.into(),
        }
    }
}

/// A socket that listens at its path.
pub(super) struct Made {
    pub(super) listener: StdListener,
    pub(super) name: OwnPath,
    /// Whether a stale socket had to go.
    pub(super) replaced_stale: bool,
}

/// Binds `path`, mode 0600, and listens.
pub(super) fn make(path: &Path) -> Result<Made, BindError> {
    let _lock = lock_directory(path)?;
    let replaced_stale = check_free(path)?;
    let temporary = path.with_file_name(format!(".{:06x}", rand::random::<u32>() >> 8));
    let made = bind_temporary(&temporary).and_then(|listener| {
        fs::rename(&temporary, path).map_err(|e| BindError::io("rename a socket to", path, e))?;
        Ok(listener)
    });
    let listener = made.inspect_err(|_| _ = fs::remove_file(&temporary))?;
    let name = OwnPath::new(path).map_err(|e| BindError::io("inspect", path, e))?;
    Ok(Made {
        listener,
        name,
        replaced_stale,
    })
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
