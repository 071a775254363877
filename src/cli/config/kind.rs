//! How values are written, and what of them is allowed.
//!
//! Durations and sizes have a unit in the file (`"5s"`, `"64MiB"`). A variable
//! of the environment has the unit of its contract: whole seconds, unless its
//! name says otherwise.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tree::{Node, Value};
use crate::net::http::Url;

/// A value as it was found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Written<'a> {
    /// In the file.
    File(&'a Value),
    /// In a variable or behind a flag.
    Text(&'a str),
}

impl<'a> Written<'a> {
    pub(super) fn text(self) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::File(Value::Text(text)) => Ok(text),
            Self::File(other) => Err(format!(
                "expected text in quotes, found {}",
                other.describe()
            )),
        }
    }

    fn number(self) -> Result<u64, String> {
        let wrong = |found: &str| format!("expected a whole number, found {found}");
        match self {
            Self::Text(text) => text.parse().map_err(|_| wrong(&format!("{text:?}"))),
            Self::File(Value::Number(number)) => {
                u64::try_from(*number).map_err(|_| wrong(&number.to_string()))
            }
            Self::File(other) => Err(wrong(&other.describe())),
        }
    }
}

/// How a value is written.
pub(super) trait Kind {
    /// What it means.
    type Value;

    /// Reads it, or says what is wrong with it.
    fn read(&self, written: Written<'_>) -> Result<Self::Value, String>;

    /// Writes it as the file would.
    fn show(&self, value: &Self::Value) -> String;
}

/// Any text but an empty one.
pub(super) struct Text;

impl Kind for Text {
    type Value = String;

    fn read(&self, written: Written<'_>) -> Result<String, String> {
        match written.text()?.trim() {
            "" => Err("it is empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

/// A text that `check` takes; an error says why not.
pub(super) struct Checked(pub(super) fn(&str) -> Result<(), String>);

impl Kind for Checked {
    type Value = String;

    fn read(&self, written: Written<'_>) -> Result<String, String> {
        let text = Text.read(written)?;
        (self.0)(&text).map(|()| text)
    }

    fn show(&self, value: &String) -> String {
        Text.show(value)
    }
}

/// A URL we call.
pub(super) const URL: Checked = Checked(|text| {
    let parsed = text.parse::<Url>();
    parsed.map(drop).map_err(|error| error.to_string())
});

/// A path; a relative one starts in the base directory, `~/` in the home
/// directory.
pub(super) struct Place<'a> {
    pub(super) base: &'a Path,
    pub(super) home: Option<&'a Path>,
}

impl Place<'_> {
    pub(super) fn resolve(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.base.join(text),
        }
    }
}

impl Kind for Place<'_> {
    type Value = PathBuf;

    fn read(&self, written: Written<'_>) -> Result<PathBuf, String> {
        Text.read(written).map(|text| self.resolve(&text))
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

/// One of these words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, written: Written<'_>) -> Result<T, String> {
        let text = written.text()?.trim();
        let found = self.0.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("expected {}, found {text:?}", words.join(" or "))
        })
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, known)| known == value);
        found.map_or_else(String::new, |(word, _)| format!("{word:?}"))
    }
}

/// A whole number.
pub(super) struct Count {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Kind for Count {
    type Value = u64;

    fn read(&self, written: Written<'_>) -> Result<u64, String> {
        match written.number()? {
            number if (self.min..=self.max).contains(&number) => Ok(number),
            number => Err(format!("{number} is not from {} to {}", self.min, self.max)),
        }
    }

    fn show(&self, value: &u64) -> String {
        value.to_string()
    }
}

/// A number of bytes.
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
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

pub(super) fn size_text(bytes: u64) -> String {
    let fits = SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A span of time.
pub(super) struct Span {
    pub(super) min: Duration,
    pub(super) max: Duration,
    /// What a bare number in a variable or behind a flag counts.
    pub(super) unit: Duration,
    /// Whether only multiples of that unit can be handed on.
    pub(super) whole: bool,
}

impl Span {
    pub(super) const SECOND: Duration = Duration::from_secs(1);

    /// Up to a day, and any fraction of a second.
    pub(super) const fn up_to_a_day(min: Duration) -> Self {
        Self {
            min,
            max: Duration::from_secs(86_400),
            unit: Self::SECOND,
            whole: false,
        }
    }

    /// Whole seconds, as the contract's variables count them.
    pub(super) const fn whole_seconds(max: u64) -> Self {
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

pub(super) fn span_text(span: Duration) -> String {
    let ms = span.as_millis();
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

/// A loopback address with a port.
pub(super) struct Loopback;

impl Kind for Loopback {
    type Value = SocketAddr;

    fn read(&self, written: Written<'_>) -> Result<SocketAddr, String> {
        let text = written.text()?.trim();
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("{text:?} is no address such as \"127.0.0.1:9090\""))?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            Err(format!(
                "{} is not this machine's own: use 127.0.0.1",
                address.ip()
            ))
        }
    }

    fn show(&self, value: &SocketAddr) -> String {
        format!("{:?}", value.to_string())
    }
}

/// A list of texts.
pub(super) struct Words;

impl Kind for Words {
    type Value = Vec<String>;

    fn read(&self, written: Written<'_>) -> Result<Vec<String>, String> {
        let Written::File(Value::List(items)) = written else {
            let found = match written {
                Written::File(other) => other.describe(),
                Written::Text(text) => format!("{text:?}"),
            };
            return Err(format!(
                "expected a list such as [\"a\", \"b\"], found {found}"
            ));
        };
        let word = |item: &Node| match &item.value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!(
                "expected a list of texts, found {} in it",
                other.describe()
            )),
        };
        items.iter().map(word).collect()
    }

    fn show(&self, value: &Vec<String>) -> String {
        format!("{value:?}")
    }
}

/// A list of exit codes.
pub(super) struct Numbers;

impl Kind for Numbers {
    type Value = Vec<i32>;

    fn read(&self, written: Written<'_>) -> Result<Vec<i32>, String> {
        let wrong = || "expected a list of exit codes such as [64, 78]".to_owned();
        let Written::File(Value::List(items)) = written else {
            return Err(wrong());
        };
        let code = |item: &Node| match &item.value {
            Value::Number(number) => u8::try_from(*number).ok().map(i32::from),
            _ => None,
        };
        items
            .iter()
            .map(code)
            .collect::<Option<_>>()
            .ok_or_else(wrong)
    }

    fn show(&self, value: &Vec<i32>) -> String {
        format!("{value:?}")
    }
}

/// Yes or no.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, written: Written<'_>) -> Result<bool, String> {
        match written {
            Written::File(Value::Flag(said)) => Ok(*said),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// `true`, which says all there is to say.
pub(super) struct True;

impl Kind for True {
    type Value = ();

    fn read(&self, written: Written<'_>) -> Result<(), String> {
        match written {
            Written::File(Value::Flag(true)) => Ok(()),
            _ => Err("it is true or left out".to_owned()),
        }
    }

    fn show(&self, (): &()) -> String {
        "true".to_owned()
    }
}

/// `true` or `false`.
pub(super) struct YesNo;

impl Kind for YesNo {
    type Value = bool;

    fn read(&self, written: Written<'_>) -> Result<bool, String> {
        match written {
            Written::File(Value::Flag(flag)) => Ok(*flag),
            Written::Text("true") => Ok(true),
            Written::Text("false") => Ok(false),
            _ => Err("it is true or false".to_owned()),
        }
    }

    fn show(&self, flag: &bool) -> String {
        flag.to_string()
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
    use super::super::tree;
    use super::*;

    fn from_file<K: Kind>(kind: &K, toml: &str) -> Result<K::Value, String> {
        let table = tree::parse(&format!("it = {toml}")).expect("TOML");
        kind.read(Written::File(&table.get("it").expect("it").node.value))
    }

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

    #[test]
    fn what_listens_listens_on_this_machine_only() {
        assert!(from_file(&Loopback, "\"127.0.0.1:9090\"").is_ok());
        assert!(from_file(&Loopback, "\"0.0.0.0:9090\"").is_err());
        assert!(from_file(&Loopback, "\"9090\"").is_err());
    }

    #[test]
    fn a_path_starts_in_the_base_directory_or_at_home() {
        let kind = Place {
            base: Path::new("/base"),
            home: Some(Path::new("/home/me")),
        };
        let read = |toml| from_file(&kind, toml).unwrap();
        assert_eq!(read("\"a/b\""), Path::new("/base/a/b"));
        assert_eq!(read("\"~/b\""), Path::new("/home/me/b"));
        assert_eq!(read("\"/b\""), Path::new("/b"));
    }
}
