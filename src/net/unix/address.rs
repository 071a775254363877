//! Socket addresses, also for paths that do not fit into one.
//!
//! On Linux a longer path goes through a descriptor of its directory:
//! `/proc/self/fd/N/name`. Elsewhere there is no such way.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

use crate::paths::SOCKET_PATH_MAX;

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

/// A path that `bind` and `connect` take, valid while this lives.
pub(super) struct Address {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` meaning the directory.
    _directory: Option<File>,
}

impl Address {
    pub(super) fn of(path: &Path) -> Result<Self, PathTooLong> {
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(Self {
                path: path.to_path_buf(),
                _directory: None,
            });
        }
        Self::through_directory(path).ok_or_else(|| PathTooLong {
            path: path.to_path_buf(),
            limit: SOCKET_PATH_MAX,
        })
    }

    fn through_directory(path: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let directory = File::options()
            .read(true)
            .custom_flags(nix::libc::O_DIRECTORY | nix::libc::O_CLOEXEC)
            .open(path.parent()?)
            .ok()?;
        let short = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(path.file_name()?);
        (short.as_os_str().len() <= SOCKET_PATH_MAX).then_some(Self {
            path: short,
            _directory: Some(directory),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sockaddr(&self) -> Result<UnixAddr, Errno> {
        UnixAddr::new(&self.path)
    }
}
