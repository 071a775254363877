//! How the holders of a lease are found.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::plain_file;

/// By what the holders of a lease are known: the locked file, and who locked it.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Mark {
    dev: u64,
    ino: u64,
    taker: u32,
}

impl Mark {
    pub(super) fn of(file: &File, taker: u32) -> io::Result<Self> {
        let meta = file.metadata()?;
        let (dev, ino) = (meta.dev(), meta.ino());
        Ok(Self { dev, ino, taker })
    }

    /// Whether nobody has the lease at `path` any more; if it is not known to
    /// be so, somebody may.
    pub(in crate::process) fn is_free(self, path: &Path) -> bool {
        let Ok(file) = plain_file::open_own(path, OpenOptions::new().read(true)) else {
            return false;
        };
        let meta = file.metadata();
        meta.is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.dev, self.ino))
            && file.try_lock().is_ok()
    }
}

#[cfg(target_os = "linux")]
mod told {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Mark;
    use crate::process::held::Held;
    use crate::process::table::Table;

    impl Mark {
        /// Everybody who holds the lease, each held before it was asked.
        pub(in super::super) fn holders(self) -> Vec<Held> {
            let table = Table::read();
            let living = table.living().filter_map(|(pid, _)| Held::at(pid).ok());
            living.filter(|held| self.is_held_by(held.pid())).collect()
        }

        /// Whether `pid` has the locked file open, by the descriptor that was
        /// handed down: a process that opened the file itself has no lock on it.
        pub(in crate::process) fn is_held_by(self, pid: u32) -> bool {
            let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                return false;
            };
            let fds = fds.filter_map(Result::ok);
            fds.filter(|fd| self.is(&fd.path())).any(|fd| {
                let number = fd.file_name();
                let info = format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy());
                fs::read_to_string(info).is_ok_and(|text| self.is_lock(&text))
            })
        }

        fn is(self, fd: &Path) -> bool {
            fs::metadata(fd).is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.dev, self.ino))
        }

        /// `lock: 1: FLOCK  ADVISORY  WRITE 8805 fe:00:9979358 0 EOF`: the number is
        /// the process that took the lock, 0 if the kernel knows it no more.
        fn is_lock(self, fdinfo: &str) -> bool {
            let mut locks = fdinfo.lines().filter_map(|l| l.strip_prefix("lock:"));
            locks.any(|lock| {
                let mut words = lock.split_ascii_whitespace().skip(1);
                let exclusive = words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE");
                let taker = words.next().and_then(|word| word.parse().ok());
                exclusive && taker.is_some_and(|pid: u32| pid == 0 || pid == self.taker)
            })
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod told {
    use super::Mark;
    use crate::process::held::Held;

    /// The kernel does not tell who holds a lock here.
    impl Mark {
        #[expect(clippy::unused_self, reason = "elsewhere it is told")]
        pub(in super::super) fn holders(self) -> Vec<Held> {
            Vec::new()
        }

        pub(in crate::process) fn is_held_by(self, _pid: u32) -> bool {
            let _ = self.taker;
            false
        }
    }
}
