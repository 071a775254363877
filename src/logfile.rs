//! A log file that never grows beyond its cap.
//!
//! When the next record does not fit into one file, `name.log` becomes
//! `name.log.1`, that becomes `.2` and so on, and the oldest goes. A file that
//! somebody removed, moved away or cut short is noticed within a second and
//! made anew or gone on with.
//!
//! A record is in the file as a whole or not at all: what a full disk takes
//! only half of is cut off again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the path is compared with the file that is written to.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How large a log may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file; a record that is longer has a file of its own.
    pub bytes: u64,
    /// Older files kept beside the current one.
    pub old_files: u32,
}

impl Default for Limits {
    /// 50 MB a log in all.
    fn default() -> Self {
        Self {
            bytes: 10 * 1024 * 1024,
            old_files: 4,
        }
    }
}

impl Limits {
    /// Bytes of all files together.
    #[must_use]
    pub fn cap(self) -> u64 {
        self.bytes.saturating_mul(u64::from(self.old_files) + 1)
    }
}

/// The disk did not take all records.
#[derive(Debug)]
pub struct Unwritten {
    /// Bytes of whole records that it did take.
    pub written: usize,
    /// What the kernel said.
    pub source: io::Error,
}

/// An append-only file of bounded size, mode 0600.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    open: Option<Open>,
    looked: Instant,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    bytes: u64,
}

impl LogFile {
    /// The log at `path`; it is opened by the first record.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            path: path.into(),
            limits,
            open: None,
            looked: Instant::now(),
        }
    }

    /// Changes how large it may get from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Makes the directory anew that somebody has removed; not what it was in.
    ///
    /// # Errors
    ///
    /// When that is gone too, or the disk refuses.
    pub fn make_directory(&self) -> io::Result<()> {
        let Some(directory) = self.path.parent() else {
            return Ok(());
        };
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Appends `records`, each ending with a newline.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the next call tries again.
    pub fn append(&mut self, records: &[u8]) -> Result<(), Unwritten> {
        let mut written = 0;
        while written < records.len() {
            match self.append_some(&records[written..]) {
                Ok(bytes) => written += bytes,
                Err(source) => return Err(Unwritten { written, source }),
            }
        }
        Ok(())
    }

    /// Appends what fits into the current file, or makes room; yields the bytes
    /// appended.
    fn append_some(&mut self, records: &[u8]) -> io::Result<usize> {
        self.look();
        let limits = self.limits;
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open::at(&self.path)?),
        };
        let fits = fitting(records, limits.bytes, open.bytes);
        if fits == 0 {
            self.open = None;
            rotate(&self.path, limits.old_files)?;
            return Ok(0);
        }
        open.append(&records[..fits])?;
        Ok(fits)
    }

    /// Compares path and file, at most once in [`LOOK_AGAIN`].
    fn look(&mut self) {
        let Some(open) = &mut self.open else { return };
        if self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        let inode = fs::symlink_metadata(&self.path).map(|m| m.ino());
        match open.file.metadata() {
            Ok(meta) if inode.is_ok_and(|inode| inode == open.inode) => open.bytes = meta.len(),
            _ => self.open = None,
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            // The open of a pipe would wait for somebody who reads.
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        Ok(Self {
            file,
            inode: meta.ino(),
            bytes: meta.len(),
        })
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let appended = self.file.write_all(records);
        match appended {
            Ok(()) => self.bytes += records.len() as u64,
            // Only ever shortened: somebody else may have cut it before.
            Err(_) if self.file.metadata().is_ok_and(|m| self.bytes < m.len()) => {
                _ = self.file.set_len(self.bytes);
            }
            Err(_) => {}
        }
        appended
    }
}

/// How many bytes of whole records still fit into a file with `used` of
/// `limit` bytes. Into an empty one the first record always does.
fn fitting(records: &[u8], limit: u64, used: u64) -> usize {
    let room = usize::try_from(limit.saturating_sub(used)).unwrap_or(usize::MAX);
    if records.len() <= room {
        return records.len();
    }
    match memchr::memrchr(b'\n', &records[..room]) {
        Some(end) => end + 1,
        None if used == 0 => memchr::memchr(b'\n', records).map_or(records.len(), |end| end + 1),
        None => 0,
    }
}

/// Where the `n`th older file is.
#[must_use]
pub fn older(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Bytes of the log at `path`, older files included.
#[must_use]
pub fn used(path: &Path, limits: Limits) -> u64 {
    let old = (1..=limits.old_files).map(|n| older(path, n));
    let files = std::iter::once(path.to_path_buf()).chain(old);
    let bytes = |file: PathBuf| fs::symlink_metadata(file).map_or(0, |m| m.len());
    files.map(bytes).sum()
}

fn rotate(path: &Path, old_files: u32) -> io::Result<()> {
    // First of all: on a full disk this is what makes room.
    let mut last = old_files.max(1);
    while fs::remove_file(older(path, last)).is_ok() {
        last += 1;
    }
    if old_files == 0 {
        return fs::remove_file(path);
    }
    for n in (1..old_files).rev() {
        match fs::rename(older(path, n), older(path, n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, older(path, 1))
}

#[cfg(test)]
mod tests;
