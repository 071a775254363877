//! Process groups: signalling all of one, and knowing when it is empty.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

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
    /// Reads all of `/proc`: a millisecond or two.
    #[must_use]
    pub fn members(self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.has_living(*pid)).collect()
    }

    fn has_living(self, pid: u32) -> bool {
        let stat = Stat::of(pid);
        stat.is_some_and(|s| s.group == self.0.as_raw() && !matches!(s.state, 'Z' | 'X'))
    }
}

/// What `/proc/<pid>/stat` says, as far as it is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// One letter; `Z` is a zombie, `T` stopped.
    pub(super) state: char,
    /// The process group.
    pub(super) group: i32,
    /// When it started, in clock ticks after boot.
    pub(super) start: u64,
    /// CPU time used, in clock ticks.
    pub(super) cpu_ticks: u64,
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses and may hold any
    /// character, so counting starts behind the last `)`.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        // Fields 14 and 15 are user and system time; the group was field 5.
        let user: u64 = fields.nth(8)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        // Field 22.
        let start = fields.nth(6)?.parse().ok()?;
        Some(Self {
            state,
            group,
            start,
            cpu_ticks: user + system,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 99887 1 2";
        let stat = Stat::parse(text).unwrap();
        let expected = Stat {
            state: 'S',
            group: 7,
            start: 99_887,
            cpu_ticks: 110,
        };
        assert_eq!(stat, expected);
    }
}
