//! What a process uses: memory and CPU time, as the kernel counts them.

use std::fs;
use std::time::Duration;

use super::table::Stat;

/// What a process uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// CPU time since it started.
    pub cpu: Duration,
}

impl Usage {
    /// What `pid` uses, where the kernel tells.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(Self {
            rss_bytes: pages * page_bytes(),
            cpu: Duration::from_millis(Stat::of(pid)?.cpu_ticks * tick_ms()),
        })
    }
}

/// Whether `pid` has not ended; one that waits to be reaped has.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| !stat.has_ended())
}

fn page_bytes() -> u64 {
    sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap_or(4096)
}

fn tick_ms() -> u64 {
    let ticks = sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap_or(100);
    1000 / ticks.max(1)
}

fn sysconf(variable: nix::unistd::SysconfVar) -> Option<u64> {
    let value = nix::unistd::sysconf(variable).ok()??;
    u64::try_from(value).ok()
}
