//! Files by device and inode, and paths that are taken away only if they are
//! still the file we made.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bind::BindError;

/// How long another of us may hold the directory's lock.
///
/// It is held for one probe and one rename, well under a millisecond.
const DIRECTORY_LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A file by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
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

    pub(super) fn is_ours(&self) -> bool {
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

/// Serializes bind, clear and unlink in one directory among all of us.
///
/// The lock is on the directory itself, so it leaves no file behind; it goes
/// with the returned descriptor.
pub(super) fn lock_directory(path: &Path) -> Result<File, BindError> {
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
