//! The lock of a journal: whoever has it, and nobody else, writes there.
//!
//! The file says who that is, for people; the kernel knows better.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use uuid::Uuid;

use super::super::error::OpenError;
use crate::clock;

/// The file whose lock says that the journal is in use.
pub(super) const LOCK: &str = "LOCK";

/// Locks the journal in `directory`, which is opened from `path`.
pub(super) fn take(directory: &File, path: &Path) -> Result<File, OpenError> {
    let path = path.join(LOCK);
    let failed = |doing, source| OpenError::Io {
        doing,
        path: path.clone(),
        source,
    };
    let mut file = open(directory).map_err(|errno| failed("open journal lock", errno.into()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let holder = holder(&file);
            return Err(OpenError::Locked { path, holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(failed("lock journal", source)),
    }
    let (pid, boot, at) = (std::process::id(), clock::boot_id(), clock::now_ms());
    // On a full disk nobody can read who we are; the lock holds all the same.
    _ = file.set_len(0);
    _ = file.write_all(format!("pid {pid} boot {boot} since_ms {at}\n").as_bytes());
    Ok(file)
}

/// What is on a disk that takes nothing can be locked, too: what is kept there is
/// published.
fn open(directory: &File) -> nix::Result<File> {
    let open = |how| {
        let how = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(directory, LOCK, how, Mode::S_IRUSR | Mode::S_IWUSR)
    };
    let opened = match open(OFlag::O_RDWR | OFlag::O_CREAT) {
        Err(Errno::EROFS) => open(OFlag::O_RDONLY),
        opened => opened,
    };
    opened.map(File::from)
}

/// Who has it, as far as that can be told.
fn holder(file: &File) -> Box<str> {
    let told = || told_holder(file);
    let pid = locking_pid(file).or_else(told);
    pid.map_or("another process".into(), |pid| format!("pid {pid}").into())
}

/// Who it says, unless that was before the machine was started.
fn told_holder(file: &File) -> Option<u32> {
    let mut told = String::new();
    file.take(256).read_to_string(&mut told).ok()?;
    let mut words = told.split_whitespace();
    let pid = words.nth(1)?.parse().ok()?;
    (words.nth(1)? == clock::boot_id()).then_some(pid)
}

/// Whom the kernel names: on a full disk the file may still name another.
#[cfg(target_os = "linux")]
fn locking_pid(file: &File) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let is_it = |words: &Vec<&str>| {
        words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|place| place.ends_with(&inode))
    };
    let mut locks = locks.lines().map(|line| line.split_whitespace().collect());
    let pid = locks.find(is_it)?.get(4)?.parse().ok()?;
    // It cannot be seen from here.
    (pid != 0).then_some(pid)
}

#[cfg(not(target_os = "linux"))]
fn locking_pid(_: &File) -> Option<u32> {
    None
}

/// Which life of the machine this is; 0 if nobody knows.
pub(super) fn life() -> u64 {
    let boot = Uuid::parse_str(&clock::boot_id());
    boot.map_or(0, |boot| boot.as_u64_pair().0)
}
