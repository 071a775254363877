//! Process groups: signalling all of one, and knowing when it is empty.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::table::Table;

/// A process group led by a child of ours that is not reaped yet.
///
/// Until the leader is reaped the number belongs to nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(Pid);

impl Group {
    /// The group led by process `leader`.
    pub(super) fn led_by(leader: u32) -> Self {
        Self(Pid::from_raw(leader.cast_signed()))
    }

    /// Signals every member; a group that is gone is no error.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, as it does for members of another user.
    pub(super) fn signal(self, signal: Signal) -> io::Result<()> {
        match killpg(self.0, signal) {
            // macOS says EPERM for a group of zombies.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(Errno::EPERM) if cfg!(target_os = "macos") => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether no process is left in the group, zombies of other parents
    /// apart. To be asked after the leader was reaped.
    pub(super) fn is_empty(self) -> bool {
        killpg(self.0, None) == Err(Errno::ESRCH) || self.members().is_empty()
    }

    /// The processes in the group that have not ended.
    ///
    /// Reads the whole process table: a millisecond or two.
    #[must_use]
    pub fn members(self) -> Vec<u32> {
        let table = Table::read();
        let members = table.living().filter(|(_, s)| s.group == self.0.as_raw());
        members.map(|(pid, _)| pid).collect()
    }
}

/// The living processes of the group led by `leader`, a child of ours, the
/// leader first.
///
/// Reads the whole process table: a millisecond or two.
#[must_use]
pub fn members(leader: u32) -> Vec<u32> {
    let mut members = Group::led_by(leader).members();
    members.sort_by_key(|pid| (*pid != leader, *pid));
    members
}
