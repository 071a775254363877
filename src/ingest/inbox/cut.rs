//! Lines out of a piece of a file, each an effect or a reason why not.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::progress::Identity;
use crate::protocol::envelope::{self, Routing, SideEffect};

/// The longest line that is read.
pub(super) const LINE_BYTES_MAX: usize = 4 << 20;

/// Effects that are recorded together.
pub(super) const EFFECTS_MAX: usize = 1024;

/// What is told of a line that was rejected, so that its author knows it.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// An effect, and where its line begins in the file.
#[derive(Debug)]
pub(super) struct Line {
    pub at: u64,
    pub effect: SideEffect,
    /// As it stands in the file.
    pub text: Bytes,
}

/// A line that is no effect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reject {
    pub at: u64,
    pub reason: String,
    /// Its beginning.
    pub line: Vec<u8>,
}

/// Whole lines, and where the next begins.
#[derive(Debug)]
pub(super) struct Cut {
    pub lines: Vec<Line>,
    pub rejects: Vec<Reject>,
    pub end: u64,
}

#[derive(Deserialize)]
struct Named {
    effect_id: Option<Uuid>,
}

/// Cuts `bytes`, which begin at `at` with a line. Stops at the last LF, at
/// [`EFFECTS_MAX`], and before an id comes a second time: its answer would be
/// taken for that of the first.
pub(super) fn cut(bytes: &[u8], at: u64, file: &Identity, routing: &Routing) -> Cut {
    let mut cut = Cut {
        lines: Vec::new(),
        rejects: Vec::new(),
        end: at,
    };
    let mut ids = HashSet::new();
    let mut rest = bytes;
    while let Some(length) = memchr::memchr(b'\n', rest) {
        let line = &rest[..length];
        let at = cut.end;
        if cut.lines.len() == EFFECTS_MAX {
            break;
        }
        match read(line, at, file, routing) {
            None => {}
            Some(Ok((effect, _))) if !ids.insert(effect.id) => break,
            Some(Ok((effect, text))) => cut.lines.push(Line { at, effect, text }),
            Some(Err(reason)) => cut.rejects.push(Reject::new(at, reason, line)),
        }
        rest = &rest[length + 1..];
        cut.end += length as u64 + 1;
    }
    cut
}

/// Cuts the bytes at the end of a file that is as long as it will be: a whole
/// JSON object needs no LF, for whatever else it was to become is no effect.
/// `None` if they may be the beginning of something longer.
pub(super) fn cut_last(bytes: &[u8], at: u64, file: &Identity, routing: &Routing) -> Option<Cut> {
    let line = trimmed(bytes, at);
    let is_object =
        line.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok();
    if !line.is_empty() && !is_object {
        return None;
    }
    let with_lf = [bytes, b"\n"].concat();
    let end = at + bytes.len() as u64;
    let cut = cut(&with_lf, at, file, routing);
    Some(Cut { end, ..cut })
}

/// The line that begins at `at`, without what may stand around it.
fn trimmed(line: &[u8], at: u64) -> &[u8] {
    let line = if at == 0 {
        envelope::without_mark(line)
    } else {
        line
    };
    line.trim_ascii()
}

/// What a line asks for, and the line; nothing, if it is blank.
fn read(
    line: &[u8],
    at: u64,
    file: &Identity,
    routing: &Routing,
) -> Option<Result<(SideEffect, Bytes), String>> {
    let line = trimmed(line, at);
    if line.is_empty() {
        return None;
    }
    let derived = file.effect_id(at, line);
    let named = serde_json::from_slice::<Named>(line);
    let given = named.as_ref().ok().and_then(|named| named.effect_id);
    let id = given.map_or(derived, Into::into);
    // A copy, so that one small effect does not hold the whole piece.
    let text = Bytes::copy_from_slice(line);
    let routed = envelope::route(id, &text, routing);
    Some(match (routed, named) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(_), Err(error)) => Err(format!("unreadable effect_id: {error}")),
        (Ok(effect), Ok(_)) => Ok((effect, text)),
    })
}

impl Reject {
    pub(super) fn new(at: u64, reason: String, line: &[u8]) -> Self {
        let line = line[..line.len().min(SHOWN_BYTES_MAX)].to_vec();
        Self { at, reason, line }
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Inode;
    use super::*;

    const GOOD: &str = r#"{"type":"t","channel":"c","payload":1}"#;

    fn cut_text(text: &[u8], at: u64) -> Cut {
        let inode = Inode { ino: 2, born: 3 };
        let file = Identity::new(inode, b"head\n").unwrap();
        cut(text, at, &file, &Routing::for_device("d"))
    }

    fn ids(cut: &Cut) -> Vec<String> {
        cut.lines.iter().map(|l| l.effect.id.to_string()).collect()
    }

    #[test]
    fn what_has_no_end_yet_is_not_taken_and_is_whole_when_it_has() {
        let text = format!("{GOOD}\n{GOOD}");
        let first = cut_text(text.as_bytes(), 100);
        assert_eq!(first.lines.len(), 1);
        assert_eq!(first.end, 100 + GOOD.len() as u64 + 1);
        let rest = format!("{GOOD}\n");
        let second = cut_text(rest.as_bytes(), first.end);
        assert_eq!(second.lines[0].at, first.end);
        assert!(second.rejects.is_empty());
    }

    #[test]
    fn at_the_end_of_a_file_a_whole_object_needs_no_lf_and_half_of_one_waits() {
        let file = Identity::new(Inode { ino: 2, born: 3 }, b"head\n").unwrap();
        let last = |text: &str| cut_last(text.as_bytes(), 100, &file, &Routing::for_device("d"));
        let cut = last(GOOD).unwrap();
        assert_eq!((cut.lines.len(), cut.end), (1, 100 + GOOD.len() as u64));
        let with_lf = cut_text(format!("{GOOD}\n").as_bytes(), 100);
        assert_eq!(ids(&cut), ids(&with_lf), "the same once it has one");
        for half in [&GOOD[..GOOD.len() - 1], "{", "nonsense", "12", "\"{}\""] {
            assert!(last(half).is_none(), "{half}");
        }
        assert_eq!(last("{\"no\":\"event\"}").unwrap().rejects.len(), 1);
        let blank = last(" \r").unwrap();
        assert_eq!((blank.lines.len(), blank.end), (0, 102));
    }

    #[test]
    fn a_line_read_again_has_its_id_again_and_no_other_line_has_it() {
        let text = format!("{GOOD}\n{GOOD}\n");
        let (once, again) = (cut_text(text.as_bytes(), 0), cut_text(text.as_bytes(), 0));
        assert_eq!(ids(&once), ids(&again));
        assert_ne!(ids(&once)[0], ids(&once)[1], "same bytes, another place");
        let tail = cut_text(&text.as_bytes()[GOOD.len() + 1..], GOOD.len() as u64 + 1);
        assert_eq!(ids(&tail)[0], ids(&once)[1], "wherever reading begins");
        let other = GOOD.replace('1', "2") + "\n";
        assert_ne!(ids(&cut_text(other.as_bytes(), 0))[0], ids(&once)[0]);
    }

    #[test]
    fn a_bad_line_costs_only_itself_and_says_why() {
        let mut text = format!("{GOOD}\nnonsense\n").into_bytes();
        text.extend(b"{\"type\":\"\xff\"}\n \r\n{\"channel\":\"c\"}\n");
        text.extend(br#"{"type":"t","effect_id":"no"}"#);
        text.extend(format!("\n{GOOD}\r\n").as_bytes());
        let cut = cut_text(&text, 0);
        assert_eq!(cut.lines.len(), 2);
        assert_eq!(cut.end, text.len() as u64);
        let reasons: Vec<_> = cut.rejects.iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[0].starts_with("unreadable side-effect JSON"));
        assert!(
            reasons[1].contains("invalid UTF-8 at byte 9"),
            "{reasons:?}"
        );
        assert_eq!(reasons[2], "missing event name in side-effect payload");
        assert!(reasons[3].starts_with("unreadable effect_id"));
        assert_eq!(cut.rejects[0].at, GOOD.len() as u64 + 1);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let text = format!("\u{feff}{GOOD}\n\u{feff}{GOOD}\n");
        let cut = cut_text(text.as_bytes(), 0);
        assert_eq!((cut.lines.len(), cut.rejects.len()), (1, 1));
        assert_eq!(cut.lines[0].text, GOOD);
        let alone = format!("\u{feff}{GOOD}");
        let inode = Inode { ino: 2, born: 3 };
        let file = Identity::new(inode, b"head\n").unwrap();
        let last = cut_last(alone.as_bytes(), 0, &file, &Routing::for_device("d"));
        assert_eq!(last.expect("a whole object").lines.len(), 1);
    }

    #[test]
    fn a_given_id_is_kept_and_one_piece_holds_it_once() {
        let id = "00000001-eeee-eeee-eeee-eeeeeeeeeeee";
        let line = format!(r#"{{"type":"t","effect_id":"{id}"}}"#) + "\n";
        let cut = cut_text(line.repeat(2).as_bytes(), 0);
        assert_eq!(ids(&cut), [id]);
        assert_eq!(cut.end, line.len() as u64);
    }

    #[test]
    fn a_piece_holds_so_many_effects_and_no_more() {
        let text = format!("{GOOD}\n").repeat(EFFECTS_MAX + 5);
        let cut = cut_text(text.as_bytes(), 0);
        assert_eq!(cut.lines.len(), EFFECTS_MAX);
        assert_eq!(cut.end, (EFFECTS_MAX * (GOOD.len() + 1)) as u64);
    }
}
