//! Spans of time and sizes.
//!
//! Both have a unit in the file (`"5s"`, `"64MiB"`). A variable of the
//! environment has the unit of its contract: whole seconds, unless its name
//! says otherwise.

use std::time::Duration;

use super::super::tree::Value;
use super::{Kind, Written};

/// A number of bytes.
pub(in super::super) struct Size {
    pub(in super::super) min: u64,
    pub(in super::super) max: u64,
}

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Kind for Size {
    type Value = u64;

    fn read(&self, written: Written<'_>) -> Result<u64, String> {
        let bytes = match written {
            Written::File(Value::Text(text)) => with_unit(text, &SIZE_UNITS)
                .ok_or_else(|| format!("{text:?} is no size such as \"64MiB\" or \"512KiB\""))?,
            other => other.number()?,
        };
        if (self.min..=self.max).contains(&bytes) {
            return Ok(bytes);
        }
        let [found, min, max] = [bytes, self.min, self.max].map(size_text);
        Err(format!("{found} is not from {min} to {max}"))
    }

    fn show(&self, value: &u64) -> String {
        format!("\"{}\"", size_text(*value))
    }
}

pub(in super::super) fn size_text(bytes: u64) -> String {
    let fits = SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A span of time.
pub(in super::super) struct Span {
    pub(in super::super) min: Duration,
    pub(in super::super) max: Duration,
    /// What a bare number in a variable or behind a flag counts.
    pub(in super::super) unit: Duration,
    /// Whether only multiples of that unit can be handed on.
    pub(in super::super) whole: bool,
}

impl Span {
    pub(in super::super) const SECOND: Duration = Duration::from_secs(1);

    /// Up to a day, and any fraction of a second.
    pub(in super::super) const fn up_to_a_day(min: Duration) -> Self {
        Self {
            min,
            max: Duration::from_secs(86_400),
            unit: Self::SECOND,
            whole: false,
        }
    }

    /// Whole seconds, as the contract's variables count them.
    pub(in super::super) const fn whole_seconds(max: u64) -> Self {
        Self {
            min: Self::SECOND,
            max: Duration::from_secs(max),
            unit: Self::SECOND,
            whole: true,
        }
    }
}

const SPAN_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

impl Kind for Span {
    type Value = Duration;

    fn read(&self, written: Written<'_>) -> Result<Duration, String> {
        let span = match written {
            Written::File(value) => {
                let text = match value {
                    Value::Number(number) => {
                        return Err(format!("{number} has no unit: write \"{number}s\""));
                    }
                    _ => written.text()?,
                };
                let ms = with_unit(text, &SPAN_UNITS).ok_or_else(|| {
                    format!("{text:?} is no span of time such as \"5s\", \"500ms\" or \"2m\"")
                })?;
                Duration::from_millis(ms)
            }
            Written::Text(_) => {
                let factor = u32::try_from(written.number()?).unwrap_or(u32::MAX);
                self.unit.saturating_mul(factor)
            }
        };
        if self.whole && !span.as_millis().is_multiple_of(self.unit.as_millis()) {
            return Err(format!("{} is not in whole seconds", span_text(span)));
        }
        if (self.min..=self.max).contains(&span) {
            return Ok(span);
        }
        let [found, min, max] = [span, self.min, self.max].map(span_text);
        Err(format!("{found} is not from {min} to {max}"))
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", span_text(*value))
    }
}

pub(in super::super) fn span_text(span: Duration) -> String {
    let ms = span.as_millis();
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

/// A number followed by one of `units`, in the units' own measure.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::super::tests::from_file;
    use super::*;

    #[test]
    fn a_span_has_a_unit_in_the_file_and_none_in_a_variable() {
        let kind = Span::up_to_a_day(Duration::from_millis(1));
        let read = |toml| from_file(&kind, toml);
        assert_eq!(read("\"500ms\""), Ok(Duration::from_millis(500)));
        assert_eq!(read("\"2m\""), Ok(Duration::from_secs(120)));
        assert_eq!(read("5").unwrap_err(), "5 has no unit: write \"5s\"");
        assert!(read("\"5 parsecs\"").is_err() && read("\"s\"").is_err());
        assert_eq!(kind.read(Written::Text("5")), Ok(Duration::from_secs(5)));
    }

    #[test]
    fn a_span_that_the_contract_counts_in_seconds_has_no_fraction() {
        let kind = Span::whole_seconds(600);
        assert!(
            from_file(&kind, "\"1500ms\"")
                .unwrap_err()
                .contains("whole")
        );
        assert_eq!(from_file(&kind, "\"2000ms\""), Ok(Duration::from_secs(2)));
        assert!(
            from_file(&kind, "\"0s\"")
                .unwrap_err()
                .contains("1s to 600s")
        );
    }

    #[test]
    fn a_size_is_written_in_binary_units_or_bytes() {
        let kind = Size {
            min: 1,
            max: 1 << 40,
        };
        assert_eq!(from_file(&kind, "\"64MiB\""), Ok(64 << 20));
        assert_eq!(from_file(&kind, "4096"), Ok(4096));
        assert_eq!(kind.read(Written::Text("4096")), Ok(4096));
        assert!(from_file(&kind, "\"64MB\"").is_err());
        assert!(from_file(&kind, "\"99999999999999GiB\"").is_err());
        assert_eq!([64 << 20, 1536, 0].map(size_text), ["64MiB", "1536B", "0B"]);
    }
}
