//! Moments as people write and read them: in local time.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, Time, UtcOffset};

use crate::clock;
use crate::process;

/// The time zone of whoever reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    offset: UtcOffset,
}

impl Local {
    /// The system's, as it is now; UTC where it does not say.
    pub(super) fn new() -> Self {
        let now = i64::try_from(clock::now_ms() / 1000).unwrap_or_default();
        let offset = process::local_offset(now);
        let offset = offset.and_then(|seconds| UtcOffset::from_whole_seconds(seconds).ok());
        Self {
            offset: offset.unwrap_or(UtcOffset::UTC),
        }
    }

    #[cfg(test)]
    pub(super) fn utc() -> Self {
        Self {
            offset: UtcOffset::UTC,
        }
    }

    /// `09:14:02.120` of an RFC 3339 moment; blank if it is none.
    pub(super) fn time_of_day(self, at: &str) -> String {
        let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else {
            return " ".repeat(12);
        };
        let at = at.to_offset(self.offset);
        let (hour, minute, second, ms) = at.time().as_hms_milli();
        format!("{hour:02}:{minute:02}:{second:02}.{ms:03}")
    }

    /// `09:14:02`, or `2026-11-20 09:14:02` on another day than `now`'s, of an
    /// RFC 3339 moment; `now` is in milliseconds since the epoch.
    pub(super) fn moment(self, at: &str, now: u64) -> String {
        let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else {
            return at.to_owned();
        };
        let at = at.to_offset(self.offset);
        let (hour, minute, second) = at.to_hms();
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        if at.date() == self.at(now).date() {
            return time;
        }
        format!("{} {time}", at.date())
    }

    fn at(self, ms: u64) -> OffsetDateTime {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
        at.unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(self.offset)
    }

    /// The moment that `text` means at `now`, in milliseconds since the epoch:
    /// a span ago (`10m`, `1h30m`), RFC 3339, or the last time it was `HH:MM`.
    pub(super) fn since(self, text: &str, now: u64) -> Result<u64, String> {
        if let Some(span) = parse_span(text) {
            return Ok(now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(now)));
        }
        if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(milliseconds(at));
        }
        let time = parse_time(text).ok_or_else(|| {
            format!("{text:?} is no span (10m, 2h), time of day (09:14) or RFC 3339 moment")
        })?;
        let today = milliseconds(self.at(now).replace_time(time));
        let is_to_come = now < today;
        Ok(if is_to_come {
            today - 86_400_000
        } else {
            today
        })
    }
}

fn milliseconds(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// `90s`, `10m`, `1h30m`, `2d`.
fn parse_span(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..unit].parse().ok()?;
        let each = match rest.as_bytes()[unit] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(count.checked_mul(each)?)?;
        rest = &rest[unit + 1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// `09:14` or `09:14:02`.
fn parse_time(text: &str) -> Option<Time> {
    let mut fields = text.split(':').map(str::parse::<u8>);
    let (hour, minute) = (fields.next()?.ok()?, fields.next()?.ok()?);
    let second = fields.next().transpose().ok()?.unwrap_or(0);
    if fields.next().is_some() {
        return None;
    }
    Time::from_hms(hour, minute, second).ok()
}

/// Whether that is an RFC 3339 moment.
pub(super) fn is_one(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T09:14:02.120Z
    const NOW: u64 = 1_795_252_442_120;

    fn since(text: &str) -> Result<u64, String> {
        Local::utc().since(text, NOW)
    }

    #[test]
    fn a_moment_is_a_span_ago_a_time_of_day_or_written_in_full() {
        assert_eq!(since("10m"), Ok(NOW - 600_000));
        assert_eq!(since("1h30m"), Ok(NOW - 5_400_000));
        assert_eq!(since("2026-11-21T10:14:02.120+01:00"), Ok(NOW));
        assert_eq!(since("09:14"), Ok(NOW - 2_120));
        assert_eq!(
            since("23:00:00"),
            Ok(NOW - 2_120 - 14 * 60_000 - 10 * 3_600_000)
        );
        for nonsense in ["", "soon", "10", "10x", "25:00", "9:1:2:3"] {
            assert!(since(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_moment_of_another_day_is_shown_with_its_day() {
        let local = Local::utc();
        let at = "2026-11-21T09:14:02.120Z";
        assert_eq!(local.moment(at, NOW), "09:14:02");
        assert_eq!(local.moment(at, NOW + 86_400_000), "2026-11-21 09:14:02");
        assert_eq!(local.time_of_day(at), "09:14:02.120");
        assert_eq!(local.time_of_day("?"), " ".repeat(12));
    }
}
