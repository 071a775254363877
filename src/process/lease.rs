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

mod error;
mod heirs;
mod mark;
mod outlived;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::held::Held;
use super::identity::{Fate, Identity};
use crate::plain_file;
pub use error::LeaseError;
pub use heirs::end_heirs;
pub(super) use mark::Mark;
pub use outlived::{Outlived, clear, outlived};

/// Names the descriptor of the lease; nobody needs to read it, but a program
/// that closes what it inherited may want to spare it.
pub(super) const LEASE_FD: &str = "FALCO_LEASE_FD";

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
        plain_file::open_own(&self.path, &mut options)?.write_all(&text)
    }
}

/// For reading: whoever inherits the descriptor can hold the lease with it and
/// do nothing else.
fn open(path: &Path) -> Result<File, LeaseError> {
    let mut make = OpenOptions::new();
    make.write(true).create(true).truncate(false).mode(0o600);
    let made = plain_file::open_own(path, &mut make)
        .and_then(|_| plain_file::open_own(path, OpenOptions::new().read(true)));
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
    serde_json::from_slice(&plain_file::read(path).ok()?).ok()
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

#[cfg(test)]
mod tests;
