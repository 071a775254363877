//! How values are written, and what of them is allowed.

mod list;
mod measure;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::tree::Value;
use crate::net::http::Url;

pub(super) use list::{Numbers, Words};
pub(super) use measure::{Size, Span};

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

#[cfg(test)]
mod tests;
