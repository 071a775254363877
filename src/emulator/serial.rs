//! Channel serials: where in a channel something happened.
//!
//! ```text
//! 01745828651671-000@emu3nW8sK2p:004
//! └─ 14 digits ─┘ │  └─ series ┘  └ index in its protocol message
//!   milliseconds  └ counter within the millisecond
//! ```
//!
//! As text they sort as they happened. The series is new at every start of
//! the emulator, which keeps nothing across one: a serial of another series
//! proves no continuity.

use std::fmt;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

/// The site all our serials belong to; LiveObjects compares serials per site.
pub(super) const SITE_CODE: &str = "emu";

/// Positions within one millisecond; then the clock is run ahead.
const COUNTER_MAX: u16 = 999;

/// A point in the life of a channel. `Default` is before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    ms: u64,
    counter: u16,
}

impl Position {
    /// The first free position that is after `self` and not before `now_ms`.
    pub(super) fn next(self, now_ms: i64) -> Self {
        let now = Self::at(now_ms);
        if self < now {
            now
        } else if self.counter < COUNTER_MAX {
            Self {
                counter: self.counter + 1,
                ..self
            }
        } else {
            Self {
                ms: self.ms + 1,
                counter: 0,
            }
        }
    }

    /// The first position of a millisecond.
    pub(super) fn at(ms: i64) -> Self {
        Self {
            ms: u64::try_from(ms).unwrap_or(0),
            counter: 0,
        }
    }
}

/// The name all serials of one run of the emulator share.
#[derive(Debug, Clone)]
pub(super) struct Series(String);

impl Series {
    /// A series that no earlier run had.
    pub(super) fn random() -> Self {
        let suffix = rand::rng()
            .sample_iter(Alphanumeric)
            .take(12)
            .map(char::from);
        Self(SITE_CODE.chars().chain(suffix).collect())
    }

    /// `position` as a channel serial.
    pub(super) fn channel_serial(&self, position: Position) -> String {
        format!(
            "{}",
            Serial {
                series: self,
                position
            }
        )
    }

    /// Message `index` of the protocol message at `position`.
    pub(super) fn message_serial(&self, position: Position, index: usize) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(self.0.len() + 23);
        let serial = Serial {
            series: self,
            position,
        };
        write!(text, "{serial}:{index:03}").expect("a string takes all");
        text
    }

    /// The position a channel or message serial names; `None` when it is
    /// malformed or of another series.
    pub(super) fn parse(&self, serial: &str) -> Option<Position> {
        let (time, series) = serial.split_once('@')?;
        let series = series.split_once(':').map_or(series, |(series, _)| series);
        let (ms, counter) = time.split_once('-')?;
        let position = Position {
            ms: ms.parse().ok()?,
            counter: counter.parse().ok()?,
        };
        (series == self.0).then_some(position)
    }
}

struct Serial<'a> {
    series: &'a Series,
    position: Position,
}

impl fmt::Display for Serial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.position, self.series.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014}-{:03}", self.ms, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_only_grow_even_when_the_clock_stands_still_or_runs_back() {
        let mut last = Position::default();
        for now_ms in [5, 5, 4, 6].into_iter().chain(std::iter::repeat_n(6, 2000)) {
            let next = last.next(now_ms);
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn serials_sort_as_their_positions_and_parse_back() {
        let series = Series::random();
        let early = Position::at(1_745_828_651_671);
        let late = early.next(0);
        assert!(series.channel_serial(early) < series.channel_serial(late));
        assert_eq!(series.parse(&series.channel_serial(late)), Some(late));
        assert_eq!(series.parse(&series.message_serial(late, 7)), Some(late));
        assert!(
            series
                .channel_serial(early)
                .starts_with("01745828651671-000@emu")
        );
    }

    #[test]
    fn a_serial_of_another_run_proves_nothing() {
        let serial = Series::random().channel_serial(Position::at(1));
        assert_eq!(Series::random().parse(&serial), None);
        assert_eq!(Series::random().parse("nonsense"), None);
    }
}
