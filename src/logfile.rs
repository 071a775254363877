//! A log file that never grows beyond its cap.
//!
//! When the next write would exceed the size of one file, `name.log` becomes
//! `name.log.1`, that becomes `.2` and so on, and the oldest goes. A file that
//! somebody removed or moved away is noticed and made anew.
//!
//! Writing never fails towards the caller's purpose: what a full disk refuses
//! is lost, and the next write tries again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How large a log may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
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

/// An append-only file of bounded size, mode 0600.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    bytes: u64,
}

impl LogFile {
    /// The log at `path`; it is opened by the first write.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            path: path.into(),
            limits,
            open: None,
        }
    }

    fn ready(&mut self, bytes: u64) -> io::Result<&mut Open> {
        let inode = fs::symlink_metadata(&self.path).map(|m| m.ino()).ok();
        if self.open.as_ref().is_some_and(|o| Some(o.inode) != inode) {
            self.open = None;
        }
        let full = |open: &Open| 0 < open.bytes && self.limits.bytes < open.bytes + bytes;
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        let open = if full(&open) {
            rotate(&self.path, self.limits.old_files)?;
            Open::at(&self.path)?
        } else {
            open
        };
        Ok(self.open.insert(open))
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        let meta = file.metadata()?;
        Ok(Self {
            file,
            inode: meta.ino(),
            bytes: meta.len(),
        })
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        let open = self.ready(len)?;
        open.file.write_all(bytes)?;
        open.bytes += len;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the `n`th older file is.
#[must_use]
pub fn older(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

fn rotate(path: &Path, old_files: u32) -> io::Result<()> {
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
mod tests {
    use super::*;

    fn log(dir: &tempfile::TempDir, bytes: u64, old_files: u32) -> LogFile {
        LogFile::new(dir.path().join("x.log"), Limits { bytes, old_files })
    }

    #[test]
    fn a_log_stays_under_its_cap_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 100, 2);
        for n in 0..1000 {
            writeln!(log, "line {n:04}").unwrap();
        }
        let files: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap())
            .collect();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|f| f.metadata().unwrap().len() <= 100));
        let newest = fs::read_to_string(dir.path().join("x.log")).unwrap();
        assert!(newest.ends_with("line 0999\n"));
    }

    #[test]
    fn a_removed_log_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 100, 2);
        log.write_all(b"one\n").unwrap();
        fs::remove_file(dir.path().join("x.log")).unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read(dir.path().join("x.log")).unwrap(), b"two\n");
    }

    #[test]
    fn a_log_goes_on_where_the_last_run_ended() {
        let dir = tempfile::tempdir().unwrap();
        log(&dir, 100, 2).write_all(b"one\n").unwrap();
        log(&dir, 100, 2).write_all(b"two\n").unwrap();
        assert_eq!(fs::read(dir.path().join("x.log")).unwrap(), b"one\ntwo\n");
    }
}
