//! The time of what the journal's thread does.

#[cfg(test)]
use std::time::Duration;
use std::time::Instant;

use crate::clock::BootTime;

/// The time of a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Now {
    pub(in crate::journal) at: Instant,
    /// By the wall clock; nothing is aged by that.
    pub(in crate::journal) ms: u64,
    pub(in crate::journal) boot: BootTime,
}

impl Now {
    pub(in crate::journal) fn read() -> Self {
        Self {
            at: Instant::now(),
            ms: crate::clock::now_ms(),
            boot: BootTime::now(),
        }
    }

    /// The same, of a story whose clocks agree.
    #[cfg(test)]
    pub(in crate::journal) fn told(at: Instant, ms: u64) -> Self {
        let boot = i64::try_from(ms).unwrap_or(0) - 1_800_000_000_000;
        let boot = BootTime::from_ms(boot);
        Self { at, ms, boot }
    }

    /// So much later, by the clocks that tell how long ago something was.
    #[cfg(test)]
    pub(in crate::journal) fn later(&mut self, ms: u64) {
        self.ms += ms;
        self.boot = self.boot.after(Duration::from_millis(ms));
    }
}
