//! What time a record says it is, and how long ago that was.
//!
//! A record's time is the wall clock's, which somebody may set; how long ago
//! something was settled is told by the clock that nobody sets and that runs while
//! the machine sleeps, and which begins anew when the machine does. So all records of
//! a segment count from one moment on that clock, and the segment's header says which
//! that was, of which life of the machine:
//!
//! ```text
//! header   t = 12:00:00.000   fmt = falco-journal <life> 3600000
//! record   t = 12:10:00.000   so it was written 4 200 000 ms after the machine began
//! ```
//!
//! In the same life of the machine its age is exact, whatever the wall clock was set
//! to. In another, the wall clock is all there is. One that was set is followed with
//! the next segment, which is begun for that.

use std::time::Duration;

use super::writer::Now;
use crate::clock::BootTime;

/// What begins what a header says of its format.
const FORMAT: &str = "falco-journal";

/// A clock that is off by so much was set; one that is slewed is off by 43 s a day.
const SET_BY: u64 = 60_000;

/// How long a segment was written, at least, before another is begun because the
/// clock was set: it may be set again and again.
pub(super) const SET_AFTER: Duration = Duration::from_secs(60);

/// When the machine began by the wall clock, as somebody believes who writes or has
/// written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// Which life of the machine it is; 0 if nobody knows.
    life: u64,
    /// When that began, in milliseconds since the epoch.
    begun_ms: i64,
}

impl Clock {
    /// As the wall clock is now.
    pub(super) fn read(life: u64, now: Now) -> Self {
        let begun_ms = signed(now.ms).saturating_sub(now.boot.to_ms());
        Self { life, begun_ms }
    }

    /// As a header tells it.
    pub(super) fn told(t: u64, fmt: &str) -> Option<Self> {
        let mut words = fmt.strip_prefix(FORMAT)?.split_ascii_whitespace();
        let life = u64::from_str_radix(words.next()?, 16).ok()?;
        let since: i64 = words.next()?.parse().ok()?;
        let begun_ms = signed(t).saturating_sub(since);
        (life != 0).then_some(Self { life, begun_ms })
    }

    /// What the header of a segment tells of it, that is begun at `t`.
    pub(super) fn fmt(self, t: u64) -> String {
        let since = signed(t).saturating_sub(self.begun_ms);
        match self.life {
            0 => FORMAT.to_owned(),
            life => format!("{FORMAT} {life:016x} {since}"),
        }
    }

    /// What is written at this time.
    pub(super) fn ms(self, boot: BootTime) -> u64 {
        unsigned(self.begun_ms.saturating_add(boot.to_ms()))
    }

    /// Whether the wall clock was set since.
    pub(super) fn was_set(self, now: Now) -> bool {
        SET_BY < self.ms(now.boot).abs_diff(now.ms)
    }

    /// The same clock, set as the wall clock is if that was set.
    pub(super) fn set(self, now: Now) -> Self {
        if self.was_set(now) {
            Self::read(self.life, now)
        } else {
            self
        }
    }

    /// What has to be added to a time that was written by `other`.
    pub(super) fn ahead_of(self, other: Self) -> i64 {
        if self.life != other.life {
            return 0;
        }
        self.begun_ms.saturating_sub(other.begun_ms)
    }
}

/// `t`, with that added.
pub(super) fn shifted(t: u64, by: i64) -> u64 {
    t.saturating_add_signed(by)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
