//! Wall-clock times as text, and the time since the machine started; short
//! measuring is done with `Instant`, which stands still while the machine sleeps.

mod boot;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

pub use boot::boot_id;

/// A moment on the clock that runs on while the machine sleeps and that nobody
/// sets: Ably's window for copies does not wait for a laptop to wake up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime {
    /// May be negative: what was restored from disk may be older than the
    /// machine's start.
    ms: i64,
}

#[cfg(target_os = "linux")]
const BOOT_CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;

// The one on macOS that counts sleep and that nobody sets or slews: its
// CLOCK_MONOTONIC follows the wall clock's rate.
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_MONOTONIC_RAW);

/// The clock of `Instant`, which stands still while the machine sleeps.
#[cfg(target_os = "linux")]
const AWAKE_CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
#[cfg(not(target_os = "linux"))]
const AWAKE_CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(test)]
        if let Some(since) = played::now() {
            return Self { ms: millis(since) };
        }
        let since = clock_gettime(BOOT_CLOCK).map_or(Duration::ZERO, Duration::from);
        Self { ms: millis(since) }
    }

    /// The moment so many milliseconds after the machine's start.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self { ms }
    }

    /// Milliseconds since the machine's start.
    #[must_use]
    pub fn to_ms(self) -> i64 {
        self.ms
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ms = self.ms.saturating_sub(earlier.ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let ms = self.ms.saturating_add(millis(time));
        Self { ms }
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let ms = self.ms.saturating_sub(millis(time));
        Self { ms }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since the epoch, now.
#[must_use]
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(since) = played::now() {
        return 1_800_000_000_000 + u64::try_from(since.as_millis()).unwrap_or(0);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the epoch, now, signed as the wire formats have them.
#[must_use]
pub fn wire_ms() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}

/// `2026-11-21T09:14:02.120Z` for milliseconds since the epoch.
#[must_use]
pub fn utc(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// A span as people say it: `94 ms`, `12 s`, `2h14m`, `3d5h`.
#[must_use]
pub fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{s} s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3600 % 24),
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Counts in 400-year eras that begin on a 1st of March, so that the leap day
/// is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The clock of `Instant` as a number, for those who ask for it as one.
#[must_use]
pub fn monotonic() -> Duration {
    clock_gettime(AWAKE_CLOCK).map_or(Duration::ZERO, Duration::from)
}

/// How long this machine has slept since it was booted, in all.
///
/// The clock of every timer stands still meanwhile; another one does not.
#[must_use]
pub fn slept() -> Duration {
    match (clock_gettime(AWAKE_CLOCK), clock_gettime(BOOT_CLOCK)) {
        (Ok(awake), Ok(all)) => Duration::from(all).saturating_sub(awake.into()),
        _ => Duration::ZERO,
    }
}

/// Time as a simulation wants it, on its own thread.
#[cfg(test)]
pub(crate) mod played {
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
    }

    /// From here on it is so long after the start of everything.
    pub(crate) fn set(since: Duration) {
        NOW.set(Some(since));
    }

    pub(super) fn now() -> Option<Duration> {
        NOW.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_runs_forward_and_reaches_back_before_the_start() {
        let now = BootTime::now();
        assert!(BootTime::now() >= now);
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(now.since(now.before(week)), week);
        assert_eq!(now.before(week).since(now), Duration::ZERO);
        assert_eq!(now.before(week).after(week), now);
    }

    #[test]
    fn the_clock_of_timers_is_the_one_of_instant() {
        // Read one after the other, which a busy machine may do in two goes.
        let agree = || {
            let (instant, number) = (std::time::Instant::now(), monotonic());
            std::thread::sleep(Duration::from_millis(20));
            let (instant, number) = (instant.elapsed(), monotonic().saturating_sub(number));
            instant.abs_diff(number) < Duration::from_millis(10)
        };
        assert!((0..10).any(|_| agree()));
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_795_252_442_120), "2026-11-21T09:14:02.120Z");
        assert_eq!(utc(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let spans = [94, 12_000, 61_000, 8_040_000, 277_200_000];
        let texts = spans.map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(texts, ["94 ms", "12 s", "1m01s", "2h14m", "3d5h"]);
    }
}
