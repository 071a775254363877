//! One line of a log, for people.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::cli::moment::Local;
use crate::cli::output::acts;
use crate::protocol::log::{Record, Stream};

/// Stands where a line was cut.
const CUT: &str = "…⏎";

/// One line of a log.
pub(in crate::cli) struct Line {
    pub(in crate::cli) name: String,
    /// RFC 3339 in UTC with milliseconds: sorts as it reads.
    pub(in crate::cli) at: String,
    pub(in crate::cli) what: What,
    raw: String,
}

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum What {
    /// A line of a child's.
    Child {
        stream: Stream,
        incarnation: u32,
        seq: u64,
    },
    /// A line of the supervisor's own log.
    Own,
}

impl Line {
    /// Reads a line of the log called `name`.
    pub(in crate::cli) fn of(name: &str, raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(raw).into_owned();
        let (at, what) = match serde_json::from_str::<Record<'_>>(&raw) {
            Ok(record) if !record.ts.is_empty() => {
                let what = What::Child {
                    stream: record.stream,
                    incarnation: record.incarnation,
                    seq: record.seq,
                };
                (record.ts.into_owned(), what)
            }
            _ => (timestamp(&raw), What::Own),
        };
        Self {
            name: name.to_owned(),
            at: at.get(..23).map(|at| format!("{at}Z")).unwrap_or(at),
            what,
            raw,
        }
    }

    /// The record as it is in the file.
    pub(in crate::cli) fn raw(&self) -> &str {
        &self.raw
    }

    /// The line as people read it; `width` is what the names take.
    pub(in crate::cli) fn render(&self, local: Local, width: usize) -> String {
        let bar = match self.what {
            What::Own => '═',
            What::Child { stream, .. } => match stream {
                Stream::Falco => '═',
                Stream::Err => '┆',
                Stream::Out => '│',
            },
        };
        let time = local.time_of_day(&self.at);
        format!("{time} {:<width$} {bar} {}", self.name, self.text())
    }

    /// What it says.
    pub(in crate::cli) fn text(&self) -> String {
        let text = match self.what {
            What::Own => own_text(&self.raw),
            What::Child { .. } => child_text(&self.raw),
        };
        visible(&text.unwrap_or_else(|| self.raw.clone()))
    }
}

fn timestamp(raw: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Stamped<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
    }
    let stamped = serde_json::from_str::<Stamped<'_>>(raw);
    stamped.map_or_else(|_| String::new(), |s| s.timestamp.into_owned())
}

fn child_text(raw: &str) -> Option<String> {
    let record: Record<'_> = serde_json::from_str(raw).ok()?;
    let text = record.msg.trim_end_matches('\r');
    if record.cut {
        return Some(format!("{text}{CUT}"));
    }
    let own = text.starts_with('{').then(|| own_text(text)).flatten();
    Some(own.unwrap_or_else(|| text.to_owned()))
}

/// A line of our own log: level, sentence, fields.
fn own_text(line: &str) -> Option<String> {
    let log: Map<String, Value> = serde_json::from_str(line).ok()?;
    let level = log.get("level")?.as_str()?;
    let fields = log.get("fields")?.as_object()?;
    let sentence = fields.get("message")?.as_str()?;
    let mut text = format!("{level} {sentence}");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        match value {
            Value::String(value) => _ = write!(text, " {name}={value}"),
            value => _ = write!(text, " {name}={value}"),
        }
    }
    Some(text)
}

/// A child's output must not [act](acts) on the terminal.
fn visible(text: &str) -> String {
    let shown = |c| match c {
        '\t' => c,
        c if acts(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(record: &str) -> String {
        Line::of("x", record.as_bytes()).render(Local::utc(), 9)
    }

    #[test]
    fn every_kind_of_record_is_one_readable_line() {
        let text = rendered(
            r#"{"ts":"2026-11-21T09:14:02.120Z","child":"x","incarnation":1,"stream":"err","seq":2,"msg":"hi\u001b[2J\u202e\r"}"#,
        );
        assert_eq!(text, "09:14:02.120 x         ┆ hi\u{fffd}[2J\u{fffd}");
        let text = rendered(
            r#"{"ts":"2026-11-21T09:14:02.120Z","child":"x","incarnation":1,"stream":"out","seq":2,"msg":"{\"level\":\"INFO\",\"fields\":{\"message\":\"Ready.\",\"port\":1}}"}"#,
        );
        assert_eq!(text, "09:14:02.120 x         │ INFO Ready. port=1");
        let text = rendered(
            r#"{"timestamp":"2026-11-21T09:14:02.120345Z","level":"WARN","fields":{"message":"Odd."}}"#,
        );
        assert_eq!(text, "09:14:02.120 x         ═ WARN Odd.");
        let text = rendered(
            r#"{"ts":"2026-11-21T09:14:02.120Z","child":"x","incarnation":1,"stream":"out","seq":2,"msg":"part","cut":true}"#,
        );
        assert_eq!(text, "09:14:02.120 x         │ part…⏎");
        assert_eq!(rendered("no record").trim_start(), "x         ═ no record");
    }
}
