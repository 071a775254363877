//! A process that is held: a signal reaches this very process or nobody.
//!
//! On Linux a descriptor holds it. Elsewhere nothing does: there a descendant
//! that was seen a moment ago is compared once more before it is signalled, and
//! a process that is only known from a file is never.

use std::io;

use super::identity::{Fate, Identity};
use super::table::Stat;

/// A process, whatever its pid may come to mean.
#[derive(Debug)]
pub(super) struct Held {
    pid: u32,
    #[cfg(target_os = "linux")]
    descriptor: std::os::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    start: u64,
}

#[cfg(target_os = "linux")]
impl Held {
    /// The process that `identity` means.
    ///
    /// # Errors
    ///
    /// When it is gone, or the system cannot hold it.
    pub(super) fn of(identity: &Identity) -> io::Result<Self> {
        let held = Self::at(identity.pid)?;
        match identity.fate() {
            Fate::Gone => Err(io::ErrorKind::NotFound.into()),
            Fate::Alive | Fate::Suspended => Ok(held),
        }
    }

    /// Whoever has this pid now; what is learnt of the pid from here on is
    /// true of the process held, or it has ended.
    pub(super) fn at(pid: u32) -> io::Result<Self> {
        let descriptor = super::sys::end_of(pid)?;
        Ok(Self { pid, descriptor })
    }

    /// The process that was seen in the process table.
    pub(super) fn seen(pid: u32, stat: &Stat) -> Option<Self> {
        let held = Self::at(pid).ok()?;
        let same = Stat::of(pid).is_some_and(|now| now.start == stat.start);
        same.then_some(held)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When it has ended, or the kernel refuses.
    pub(super) fn kill(&self) -> io::Result<()> {
        super::sys::kill_by(&self.descriptor)
    }

    /// Whether it has ended, reaped or not.
    pub(super) fn has_ended(&self) -> bool {
        super::sys::is_readable(&self.descriptor)
    }
}

#[cfg(not(target_os = "linux"))]
impl Held {
    /// Never: a process that is no child of ours cannot be held here.
    ///
    /// # Errors
    ///
    /// Always.
    pub(super) fn of(identity: &Identity) -> io::Result<Self> {
        Err(match identity.fate() {
            Fate::Gone => io::ErrorKind::NotFound.into(),
            Fate::Alive | Fate::Suspended => io::ErrorKind::Unsupported.into(),
        })
    }

    /// The descendant that was seen in the process table.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may be gone")]
    pub(super) fn seen(pid: u32, stat: &Stat) -> Option<Self> {
        let start = stat.start;
        Some(Self { pid, start })
    }

    /// Ends it, if it still is the one that was seen.
    ///
    /// # Errors
    ///
    /// When it has ended, or the kernel refuses.
    pub(super) fn kill(&self) -> io::Result<()> {
        if self.has_ended() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let pid = nix::unistd::Pid::from_raw(self.pid.cast_signed());
        Ok(nix::sys::signal::kill(
            pid,
            nix::sys::signal::Signal::SIGKILL,
        )?)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        Stat::of(self.pid).is_none_or(|now| now.start != self.start || now.has_ended())
    }
}

impl Held {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }
}
