//! The process table, as the kernel shows it: who is whose child, in which
//! group, since when.
//!
//! A look at all of it costs a millisecond or two, and is old as soon as it is
//! taken: good for finding processes, never for signalling them
//! ([`super::held`]).

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod macos;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use macos as system;

pub(super) use system::{is_childless, usage};

/// What the kernel says of one process, as far as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// One letter; `Z` is a zombie, `T` stopped.
    pub(super) state: char,
    /// Its parent.
    pub(super) parent: u32,
    /// The process group.
    pub(super) group: i32,
    /// Whether it is on its way out, and what it had open is being closed.
    pub(super) is_ending: bool,
    /// When it started, in the kernel's own unit.
    pub(super) start: u64,
    /// CPU time used, in clock ticks; 0 where it is not told.
    pub(super) cpu_ticks: u64,
}

impl Stat {
    /// What the kernel says of `pid`.
    pub(super) fn of(pid: u32) -> Option<Self> {
        system::stat(pid)
    }

    /// Whether it has ended and only waits to be reaped.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it was stopped by a signal and does nothing.
    pub(super) fn is_suspended(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }
}

/// One look at all processes.
#[derive(Debug)]
pub(super) struct Table(Vec<(u32, Stat)>);

impl Table {
    /// Looks; a process that ends meanwhile may be missing.
    pub(super) fn read() -> Self {
        let pids = system::pids().into_iter();
        Self(pids.filter_map(|pid| Some((pid, Stat::of(pid)?))).collect())
    }

    /// The processes that have not ended.
    pub(super) fn living(&self) -> impl Iterator<Item = (u32, &Stat)> {
        let living = self.0.iter().filter(|(_, stat)| !stat.has_ended());
        living.map(|(pid, stat)| (*pid, stat))
    }

    /// The children of `parent`, zombies among them.
    pub(super) fn children(&self, parent: u32) -> impl Iterator<Item = (u32, &Stat)> {
        let children = self.0.iter().filter(move |(_, stat)| stat.parent == parent);
        children.map(|(pid, stat)| (*pid, stat))
    }

    /// Everybody below `root`, itself not among them.
    pub(super) fn below(&self, root: u32) -> Vec<(u32, Stat)> {
        let mut found: Vec<(u32, Stat)> = Vec::new();
        let mut parents = vec![root];
        while let Some(parent) = parents.pop() {
            for (pid, stat) in self.children(parent) {
                // A pid that came to mean another process makes no circle.
                if pid != root && found.iter().all(|(known, _)| *known != pid) {
                    found.push((pid, *stat));
                    parents.push(pid);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(parent: u32) -> Stat {
        Stat {
            state: 'S',
            parent,
            group: 0,
            start: 0,
            cpu_ticks: 0,
            is_ending: false,
        }
    }

    #[test]
    fn everybody_below_is_found_at_any_depth_and_nobody_else() {
        let table = Table(vec![
            (2, stat(1)),
            (3, stat(2)),
            (4, stat(3)),
            (5, stat(1)),
            (6, stat(2)),
        ]);
        let mut below: Vec<u32> = table.below(2).into_iter().map(|(pid, _)| pid).collect();
        below.sort_unstable();
        assert_eq!(below, [3, 4, 6]);
    }

    #[test]
    fn a_table_that_was_torn_by_a_reused_pid_ends_the_search_all_the_same() {
        let table = Table(vec![(2, stat(3)), (3, stat(2))]);
        assert_eq!(table.below(2).len(), 1);
    }

    #[test]
    fn the_table_has_ourselves_and_our_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let below = Table::read().below(std::process::id());
        assert!(below.iter().any(|(pid, _)| *pid == child.id()));
        assert!(!is_childless(std::process::id()));
        if cfg!(target_os = "linux") {
            assert!(is_childless(child.id()));
        }
        assert!(Stat::of(std::process::id()).is_some_and(|s| 0 < s.start));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
