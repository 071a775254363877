//! `/proc`.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::Stat;
use crate::process::usage::Usage;

/// The flag of a process that has begun to exit.
const PF_EXITING: u64 = 0x4;

pub(super) fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.filter_map(|e| Some(e.ok()?.file_name()));
    names.filter_map(|n| n.to_str()?.parse().ok()).collect()
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether the kernel says that `pid` has no child, of any of its threads;
/// where it does not tell, it may have some.
pub(in super::super) fn is_childless(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let childless = |task: fs::DirEntry| {
        let children = fs::read_to_string(task.path().join("children"));
        children.is_ok_and(|children| children.is_empty())
    };
    tasks.into_iter().all(|task| task.is_ok_and(childless))
}

/// The second field is the program's name in parentheses and may hold any
/// character, so counting starts behind the last `)`.
fn parse(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // The group was field 5; field 9 has the flags of <linux/sched.h>.
    let flags: u64 = fields.nth(3)?.parse().ok()?;
    // Fields 14 and 15 are user and system time.
    let user: u64 = fields.nth(4)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // Field 22.
    let start = fields.nth(6)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        group,
        is_ending: flags & PF_EXITING != 0,
        start,
        cpu_ticks: user + system,
    })
}

/// What `pid` uses.
pub(in super::super) fn usage(pid: u32) -> Option<Usage> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let tick_ms = 1000 / of_system(SysconfVar::CLK_TCK).unwrap_or(100).max(1);
    Some(Usage {
        rss_bytes: pages * of_system(SysconfVar::PAGE_SIZE).unwrap_or(4096),
        cpu: Duration::from_millis(stat(pid)?.cpu_ticks * tick_ms),
    })
}

fn of_system(variable: SysconfVar) -> Option<u64> {
    u64::try_from(sysconf(variable).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 99887 1 2";
        let expected = Stat {
            state: 'S',
            parent: 1,
            group: 7,
            is_ending: false,
            start: 99_887,
            cpu_ticks: 110,
        };
        assert_eq!(parse(text), Some(expected));
    }
}
