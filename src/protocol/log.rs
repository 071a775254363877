//! The records in the logs of children: one JSON object a line.
//!
//! ```text
//! {"ts":"2026-11-21T09:14:02.120Z","child":"transport","incarnation":3,"stream":"err","seq":17,"msg":"listening"}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `ts` | when the line was read, UTC: sorts as it reads |
//! | `child`, `incarnation` | whose line it is, and of which of its lives |
//! | `stream` | `out`, `err`, or `falco` for a word of the supervisor's own |
//! | `seq` | counts the lines of one life from 1, over all its streams; a gap is a line that was dropped |
//! | `msg` | the line as text, without its newline |
//! | `raw` | the line's bytes in base64, only if they are not UTF-8; `msg` has replacement characters then |
//! | `cut` | true if the line was too long and goes on in the next record of its stream |
//!
//! Fields may be added.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The child's standard output.
    #[default]
    Out,
    /// The child's standard error.
    Err,
    /// The supervisor, about the child.
    Falco,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    /// When it was read, RFC 3339 in UTC.
    #[serde(borrow)]
    pub ts: Cow<'a, str>,
    /// Whose it is.
    #[serde(borrow)]
    pub child: Cow<'a, str>,
    /// Which of its lives.
    pub incarnation: u32,
    /// Where it came from.
    pub stream: Stream,
    /// Counts the lines of one life.
    pub seq: u64,
    /// The text.
    #[serde(borrow)]
    pub msg: Cow<'a, str>,
    /// Whether the line goes on in the next record of its stream.
    #[serde(skip_serializing_if = "is_false")]
    pub cut: bool,
    /// The bytes in base64, if they are not UTF-8.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Cow<'a, str>>,
}

// serde hands a reference to what it may skip.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> Record<'a> {
    /// Sets the line, whatever its bytes are.
    #[must_use]
    pub fn with_line(self, line: &'a [u8]) -> Self {
        let msg = String::from_utf8_lossy(line);
        let raw = matches!(msg, Cow::Owned(_)).then(|| STANDARD.encode(line).into());
        Self { msg, raw, ..self }
    }

    /// The line's own bytes.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let raw = self
            .raw
            .as_ref()
            .and_then(|raw| STANDARD.decode(&**raw).ok());
        raw.unwrap_or_else(|| self.msg.as_bytes().to_vec())
    }

    /// Appends it to `records`, newline included.
    ///
    /// # Panics
    ///
    /// Never: a record always serializes.
    pub fn write_to(&self, records: &mut Vec<u8>) {
        serde_json::to_writer(&mut *records, self).expect("records serialize");
        records.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &Record<'_>) -> String {
        let mut bytes = Vec::new();
        record.write_to(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_text_is_one_object_without_what_is_not_so() {
        let record = Record {
            ts: "2026-11-21T09:14:02.120Z".into(),
            child: "transport".into(),
            incarnation: 3,
            stream: Stream::Err,
            seq: 17,
            ..Record::default()
        };
        assert_eq!(
            written(&record.with_line(b"listening")),
            "{\"ts\":\"2026-11-21T09:14:02.120Z\",\"child\":\"transport\",\"incarnation\":3,\"stream\":\"err\",\"seq\":17,\"msg\":\"listening\"}\n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_come_back_as_they_were() {
        for line in [&b"two \xff"[..], b"a\r", b"\x1b[31m\0", b""] {
            let text = written(&Record::default().with_line(line));
            let read: Record<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.line(), line);
            assert_eq!(read.raw.is_some(), line == b"two \xff");
        }
    }
}
