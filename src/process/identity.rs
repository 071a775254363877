//! Which process a pid means: pids are used again, identities are not.

use std::io;

use serde::{Deserialize, Serialize};

use super::held::Held;
use super::table::Stat;
use crate::clock::boot_id;

/// A process for good: its pid, when it started, and in which boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's own unit.
    pub start_token: u64,
    /// The boot it runs in.
    pub boot_id: String,
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs.
    Alive,
    /// It was stopped by a signal (SIGSTOP, Ctrl-Z) and does nothing.
    Suspended,
    /// It has ended, or another process has its pid now.
    Gone,
}

impl Identity {
    /// The identity of `pid`, if there is such a process.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start_token: Stat::of(pid)?.start,
            boot_id: boot_id(),
        })
    }

    /// The identity of this process.
    #[must_use]
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self {
            pid,
            start_token: 0,
            boot_id: boot_id(),
        })
    }

    /// What became of this very process.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match Stat::of(self.pid) {
            _ if self.boot_id != boot_id() => Fate::Gone,
            Some(stat) if stat.start != self.start_token => Fate::Gone,
            Some(stat) if stat.has_ended() => Fate::Gone,
            Some(stat) if stat.is_suspended() => Fate::Suspended,
            Some(_) => Fate::Alive,
            None => Fate::Gone,
        }
    }
}

/// Whether `pid` is on its way out or gone: what it still has open is free in a
/// moment.
#[must_use]
pub fn is_ending(pid: u32) -> bool {
    Stat::of(pid).is_none_or(|stat| stat.is_ending || stat.has_ended())
}

impl Identity {
    /// Kills this very process: it is held while it is compared, so that its pid
    /// cannot come to mean another one in between.
    ///
    /// # Errors
    ///
    /// When it is gone, is somebody else's, or the system cannot hold it.
    pub fn kill(&self) -> io::Result<()> {
        Held::of(self)?.kill()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_killed_only_if_it_is_the_one_meant() {
        let mut sleep = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let identity = Identity::of(sleep.id()).unwrap();
        let forged = Identity {
            start_token: identity.start_token + 1,
            ..identity.clone()
        };
        assert!(forged.kill().is_err());
        assert!(sleep.try_wait().unwrap().is_none());
        identity.kill().unwrap();
        assert!(!sleep.wait().unwrap().success());
    }

    #[test]
    fn a_process_is_ending_from_its_exit_on_and_not_before() {
        assert!(!is_ending(std::process::id()));
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        assert!(!is_ending(child.id()));
        Identity::of(child.id()).unwrap().kill().unwrap();
        while !is_ending(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_ending(child.id()));
    }

    #[test]
    fn a_pid_with_another_start_or_boot_is_another_process() {
        let own = Identity::own();
        assert_eq!(own.fate(), Fate::Alive);
        let reused = Identity {
            start_token: own.start_token + 1,
            ..own.clone()
        };
        assert_eq!(reused.fate(), Fate::Gone);
        let rebooted = Identity {
            boot_id: "another".into(),
            ..own
        };
        assert_eq!(rebooted.fate(), Fate::Gone);
    }
}
