//! Leases: by them the next start knows that a child outlived its supervisor.
//!
//! A lease is an flock on `run/<name>.lease`, taken by the supervisor and
//! handed to one child as an open descriptor. The lock belongs to the open
//! file, so the child and every descendant that inherits it hold it as long as
//! they live, and nobody else does: the supervisor closes its own copy. A lease
//! that is free therefore means that nobody of the last life is left; one that
//! is held, that somebody is. No pid has to be believed for that.
//!
//! The file says who took the lease and for whom:
//!
//! ```text
//! {"supervisor":{"pid":8805,"start_token":…,"boot_id":…},"child":{"pid":8812,…}}
//! ```
//!
//! That is for messages. Who outlived a supervisor is ended only if the kernel
//! says that it has the locked file open, and that the lock was taken by the
//! supervisor named in there; it is held by a descriptor from before that
//! question until after the signal. Whatever a file says of a pid, a process
//! that does not hold the lease is never signalled.
//!
//! Lease files are never removed: two files of one name would be two leases.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::held::Held;
use super::identity::{Fate, Identity};
#[cfg(target_os = "linux")]
use super::table::Table;

/// Names the descriptor of the lease; nobody needs to read it, but a program
/// that closes what it inherited may want to spare it.
pub(super) const LEASE_FD: &str = "FALCO_LEASE_FD";

/// How the names of lease files end.
const SUFFIX: &str = "lease";

/// How long those who die with their supervisor may take: the kernel kills them
/// a moment after its lock is free.
const DYING_PATIENCE: Duration = Duration::from_millis(200);

/// How long those who were ended may take to be gone.
const ENDING_PATIENCE: Duration = Duration::from_secs(2);

/// How often a held lease is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Who took a lease, and for whom.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    supervisor: Identity,
    child: Option<Identity>,
}

/// Why a lease could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The file cannot be opened or written.
    #[error("failed to open lease {}", path.display())]
    Open {
        /// The lease file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system cannot lock.
    #[error("failed to lock {}: its file system may not support locks", path.display())]
    Lock {
        /// The lease file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody holds it who could not, or must not, be ended.
    #[error("{} is still held{}", path.display(), named(pids))]
    Held {
        /// The lease file.
        path: PathBuf,
        /// Who may be the holder, as far as it is known.
        pids: Vec<u32>,
    },
}

fn named(pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    match pids.as_slice() {
        [] => " by a process that cannot be found".to_owned(),
        pids => format!(" by pid {}", pids.join(", ")),
    }
}

/// Those of one part that outlived their supervisor and were ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outlived {
    /// The part.
    pub name: String,
    /// Its processes.
    pub pids: Vec<u32>,
}

/// A lease that is ours to hand on.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
    mark: Mark,
}

impl Lease {
    /// Takes the lease at `path`, after everybody was ended who holds it and
    /// outlived the supervisor that took it; says who that was.
    ///
    /// To be called by the holder of the instance lock only. Blocks, for two
    /// seconds at most, and only if somebody is left.
    ///
    /// # Errors
    ///
    /// See [`LeaseError`].
    pub fn take(path: &Path) -> Result<(Self, Vec<u32>), LeaseError> {
        let file = open(path)?;
        let began = Instant::now();
        let mut ended = Vec::new();
        while !try_lock(&file, path)? {
            let waited = began.elapsed();
            if DYING_PATIENCE + ENDING_PATIENCE < waited {
                let path = path.to_path_buf();
                let pids = suspects(&file, &path);
                return Err(LeaseError::Held { path, pids });
            }
            if DYING_PATIENCE < waited {
                end_holders(&file, path, &mut ended);
            }
            std::thread::sleep(LOOK);
        }
        let supervisor = Identity::own();
        let mark = Mark::of(&file, supervisor.pid).map_err(|e| cannot_open(path, e))?;
        let path = path.to_path_buf();
        let lease = Self { file, path, mark };
        lease
            .record(None)
            .map_err(|e| cannot_open(&lease.path, e))?;
        Ok((lease, ended))
    }

    /// What the child inherits.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// By what its holders are known.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes for whom it was taken.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub(super) fn record(&self, child: Option<Identity>) -> io::Result<()> {
        let supervisor = Identity::own();
        let mut text = serde_json::to_vec(&Record { supervisor, child })?;
        text.push(b'\n');
        let mut options = OpenOptions::new();
        options.write(true).truncate(true);
        options.custom_flags(nix::libc::O_NOFOLLOW);
        options.open(&self.path)?.write_all(&text)
    }
}

/// Ends everybody who holds a lease in `directory` and outlived the supervisor
/// that took it. To be called by the holder of the instance lock.
///
/// # Errors
///
/// When somebody would not end; see [`LeaseError`].
pub fn clear(directory: &Path) -> Result<Vec<Outlived>, LeaseError> {
    let mut all = Vec::new();
    for path in files(directory) {
        let (_, pids) = Lease::take(&path)?;
        if !pids.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = name.into_owned();
            all.push(Outlived { name, pids });
        }
    }
    Ok(all)
}

/// Who holds a lease in `directory`, and is left alone. To be called by the
/// holder of the instance lock: then they outlived their supervisor.
#[must_use]
pub fn outlived(directory: &Path) -> Vec<Outlived> {
    let files = files(directory).into_iter();
    let held = files.filter_map(|path| {
        let file = File::open(&path).ok()?;
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let pids = suspects(&file, &path);
        Some(Outlived { name, pids })
    });
    held.collect()
}

/// The lease files in `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == SUFFIX))
        .collect();
    paths.sort();
    paths
}

/// For reading: whoever inherits the descriptor can hold the lease with it and
/// do nothing else.
fn open(path: &Path) -> Result<File, LeaseError> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC;
    let mut make = OpenOptions::new();
    make.write(true).create(true).truncate(false);
    make.mode(0o600).custom_flags(flags);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    let made = make.open(path).and_then(|_| options.open(path));
    made.map_err(|e| cannot_open(path, e))
}

fn cannot_open(path: &Path, source: io::Error) -> LeaseError {
    let path = path.to_path_buf();
    LeaseError::Open { path, source }
}

fn try_lock(file: &File, path: &Path) -> Result<bool, LeaseError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(LeaseError::Lock {
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Ends everybody who holds the lease by inheritance.
fn end_holders(file: &File, path: &Path, ended: &mut Vec<u32>) {
    let Some(record) = read(path) else {
        return;
    };
    let Ok(mark) = Mark::of(file, record.supervisor.pid) else {
        return;
    };
    for held in mark.holders() {
        tracing::warn!(lease = %path.display(), pid = held.pid(), "Ending a process that outlived its supervisor.");
        match held.kill() {
            Ok(()) if ended.contains(&held.pid()) => {}
            Ok(()) => ended.push(held.pid()),
            Err(error) => {
                tracing::warn!(pid = held.pid(), %error, "Failed to end it.");
            }
        }
    }
}

/// Who may hold the lease, for people: holders by inheritance, else the child
/// it was taken for.
fn suspects(file: &File, path: &Path) -> Vec<u32> {
    let Some(record) = read(path) else {
        return Vec::new();
    };
    let mark = Mark::of(file, record.supervisor.pid).ok();
    let holders: Vec<u32> = mark.map_or(Vec::new(), |mark| {
        mark.holders().iter().map(Held::pid).collect()
    });
    if !holders.is_empty() {
        return holders;
    }
    let child = record.child.filter(|child| child.fate() != Fate::Gone);
    child.map(|child| child.pid).into_iter().collect()
}

/// By what the holders of a lease are known: the locked file, and who locked it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    dev: u64,
    ino: u64,
    taker: u32,
}

impl Mark {
    fn of(file: &File, taker: u32) -> io::Result<Self> {
        let meta = file.metadata()?;
        let (dev, ino) = (meta.dev(), meta.ino());
        Ok(Self { dev, ino, taker })
    }
}

impl Mark {
    /// Whether nobody has the lease at `path` any more; if it is not known to
    /// be so, somebody may.
    pub(super) fn is_free(self, path: &Path) -> bool {
        let mut options = OpenOptions::new();
        options.read(true);
        options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC);
        let Ok(file) = options.open(path) else {
            return false;
        };
        let meta = file.metadata();
        meta.is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.dev, self.ino))
            && file.try_lock().is_ok()
    }
}

#[cfg(target_os = "linux")]
impl Mark {
    /// Everybody who holds the lease, each held before it was asked.
    fn holders(self) -> Vec<Held> {
        let table = Table::read();
        let living = table.living().filter_map(|(pid, _)| Held::at(pid).ok());
        living.filter(|held| self.is_held_by(held.pid())).collect()
    }

    /// Whether `pid` has the locked file open, by the descriptor that was
    /// handed down: a process that opened the file itself has no lock on it.
    pub(super) fn is_held_by(self, pid: u32) -> bool {
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

#[cfg(not(target_os = "linux"))]
impl Mark {
    /// Not told here.
    fn holders(self) -> Vec<Held> {
        Vec::new()
    }

    /// Not told here.
    pub(super) fn is_held_by(self, _pid: u32) -> bool {
        let _ = (self.dev, self.ino, self.taker);
        false
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
