//! Unix sockets: bind, probe, connect, accept, unlink. Nobody else does.
//!
//! Owns the path of every socket we listen on. A path comes to life by being
//! bound under a temporary name, made 0600, listening, and only then renamed
//! into place: whoever finds it can connect. It goes with its [`Socket`], and
//! only if the file there is still the one we made.
//!
//! Never removes or replaces what is not ours: a regular file, a symbolic link,
//! another user's socket and a socket that somebody answers on, or is about to, are
//! refused.
//! A stale socket (ours, and the kernel says nobody listens) is replaced.
//! Two of us over one stale path are serialized by a lock on its directory.
//!
//! ```text
//! lstat(path)      connect(path)      verdict
//! ENOENT           -                  Absent
//! not a socket     -                  NotASocket
//! socket           accepted, EAGAIN   Live (EAGAIN: the backlog is full)
//! socket           ECONNREFUSED       Stale (macOS: said for a full backlog, too, so asked again);
//!                                     Live if it is bound and does not listen yet
//! anything else                       Unknown
//! ```

mod accept;
mod address;
mod bind;
mod connect;
mod hangup;
mod held;
mod listener;
mod notices;
mod own_path;
mod peer;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType};

use crate::plain_file;
use address::Address;

pub use accept::Listener;
pub use bind::{BindError, clear_stale};
pub use connect::{ConnectError, connect};
pub use hangup::Hangup;
pub use listener::Socket;
pub use notices::{Notice, Notices, NoticesError};
pub use peer::Peer;

/// What a socket path turned out to be.
#[derive(Debug)]
pub enum Probe {
    /// There is no such file.
    Absent,
    /// Somebody listens, or is about to; this is who, where the kernel says it.
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

/// Finds out what is at `path`, without waiting; on macOS a refusal is believed
/// after a moment only, see [`connect()`].
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
        return Probe::NotASocket(plain_file::kind(kind));
    }
    match connect::believed(|| connect_now(path)) {
        Ok(fd) => Probe::Live(peer::listener_of(&fd)),
        Err(Errno::EAGAIN | Errno::EINPROGRESS) => Probe::Live(None),
        Err(Errno::ECONNREFUSED) if held::is_held(path) => Probe::Live(None),
        Err(Errno::ECONNREFUSED) => Probe::Stale { uid: meta.uid() },
        Err(Errno::ENOENT) => Probe::Absent,
        Err(errno) => Probe::Unknown(errno.into()),
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

#[cfg(test)]
mod tests;
