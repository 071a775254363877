//! Who is at the other end of a socket, as the kernel says.

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;

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

/// The user who connected, also if the connection is closed by now.
#[cfg(target_os = "linux")]
pub(super) fn uid_of(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|peer| peer.uid())
}

/// The user who connected, also if the connection is closed by now: then there
/// is no pid to be had any more, and tokio would want one.
#[cfg(not(target_os = "linux"))]
pub(super) fn uid_of(stream: &UnixStream) -> io::Result<u32> {
    let (uid, _) = nix::unistd::getpeereid(stream)?;
    Ok(uid.as_raw())
}

/// Who called `listen` on the socket `fd` is connected to.
#[cfg(target_os = "linux")]
pub(super) fn listener_of(fd: &OwnedFd) -> Option<Peer> {
    let peer = getsockopt(fd, sockopt::PeerCredentials).ok()?;
    Some(Peer {
        pid: peer.pid(),
        uid: peer.uid(),
    })
}

/// Who called `listen` on the socket `fd` is connected to.
#[cfg(not(target_os = "linux"))]
pub(super) fn listener_of(fd: &OwnedFd) -> Option<Peer> {
    let (uid, _) = nix::unistd::getpeereid(fd).ok()?;
    Some(Peer {
        pid: getsockopt(fd, sockopt::LocalPeerPid).ok()?,
        uid: uid.as_raw(),
    })
}
