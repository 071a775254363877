//! What a process uses: memory and CPU time, as the kernel counts them.

use std::time::Duration;

use super::table::{self, Stat};

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
        table::usage(pid)
    }
}

/// Whether `pid` has not ended; one that waits to be reaped has.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| !stat.has_ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_some_time() {
        let before = Usage::of(std::process::id()).unwrap();
        assert!(1 << 20 < before.rss_bytes);
        let since = std::time::Instant::now();
        let used = || Usage::of(std::process::id()).unwrap().cpu;
        while used() < before.cpu + Duration::from_millis(20) {
            assert!(since.elapsed() < Duration::from_secs(10));
        }
    }
}
