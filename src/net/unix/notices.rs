//! Where a child says how it is: one datagram a notice, in the manner of
//! systemd's `NOTIFY_SOCKET`.
//!
//! On Linux the kernel says which process sent a notice; elsewhere the private
//! directory of the path says that it was one of our user.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::address::Address;
use super::own_path::OwnPath;

/// The longest notice that is read; more of it is cut off.
const NOTICE_BYTES_MAX: usize = 4096;

/// A datagram socket at a path of ours; the path goes with it.
#[derive(Debug)]
pub struct Notices {
    socket: UnixDatagram,
    _name: OwnPath,
}

/// What somebody sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// The process that sent it, where the kernel says so.
    pub pid: Option<i32>,
    /// `NAME=value`, a line each.
    pub text: String,
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen at {}", path.display())]
pub struct NoticesError {
    path: PathBuf,
    source: io::Error,
}

impl Notices {
    /// Binds `path`, in place of a socket that a former life left there.
    ///
    /// To be called by the holder of the instance lock only, for a path in a
    /// private directory of it.
    ///
    /// # Errors
    ///
    /// When something else is there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, NoticesError> {
        Self::try_bind(path).map_err(|source| NoticesError {
            path: path.to_path_buf(),
            source,
        })
    }

    fn try_bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let address = Address::of(path).map_err(io::Error::other)?;
        let socket = UnixDatagram::bind(address.path())?;
        let name = OwnPath::new(path)?;
        #[cfg(target_os = "linux")]
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::PassCred, &true)?;
        Ok(Self {
            socket,
            _name: name,
        })
    }

    /// The next notice.
    ///
    /// # Errors
    ///
    /// When the socket is broken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&self) -> io::Result<Notice> {
        loop {
            self.socket.readable().await?;
            let fd = self.socket.as_raw_fd();
            match self.socket.try_io(Interest::READABLE, || receive(fd)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}

/// Descriptors that come along find no room, so the kernel closes them: that is
/// what a sender that waits for us to have read its notice waits for.
fn receive(fd: std::os::fd::RawFd) -> io::Result<Notice> {
    use nix::sys::socket::{MsgFlags, recvmsg};
    let mut bytes = [0; NOTICE_BYTES_MAX];
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    #[cfg(target_os = "linux")]
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    #[cfg(not(target_os = "linux"))]
    let mut space = Vec::new();
    let message = recvmsg::<()>(fd, &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let (pid, length) = (sender(&message), message.bytes);
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    Ok(Notice { pid, text })
}

#[cfg(target_os = "linux")]
fn sender(message: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Option<i32> {
    use nix::sys::socket::ControlMessageOwned::ScmCredentials;
    // Without credentials nobody is known to have sent it: pid 0.
    let mut all = message.cmsgs().ok()?;
    let pid = all.find_map(|one| match one {
        ScmCredentials(credentials) => Some(credentials.pid()),
        _ => None,
    });
    Some(pid.unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn sender(_: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::notify::Notifier;

    #[tokio::test]
    async fn a_notice_comes_with_the_process_that_sent_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.notify");
        let notices = Notices::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str().unwrap()).unwrap();
        notifier.send("READY=1\nSTATUS=fine").unwrap();
        let notice = notices.next().await.unwrap();
        assert_eq!(notice.text, "READY=1\nSTATUS=fine");
        if cfg!(target_os = "linux") {
            assert_eq!(notice.pid, Some(std::process::id().cast_signed()));
        }
        drop(notices);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_former_life_left_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.notify");
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        drop(Notices::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        Notices::bind(&path).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
