//! Which lines are wanted.

use regex_automata::meta::Regex;

use super::files::Backward;
use super::line::{Line, What};
use crate::protocol::log::Stream;

/// What a line must be to be printed.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Wanted {
    /// Not older than this, RFC 3339 in UTC.
    pub(in crate::cli) since: Option<String>,
    /// Of this stream.
    pub(in crate::cli) stream: Option<Stream>,
    /// Says something like this.
    pub(in crate::cli) grep: Option<Regex>,
    /// Of this life; -1 is the latest, -2 the one before.
    pub(in crate::cli) incarnation: Option<i64>,
}

impl Wanted {
    /// Whether it is wanted; lives counted from the end are for the caller.
    pub(super) fn takes(&self, line: &Line) -> bool {
        let stream = match line.what {
            What::Child { stream, .. } => Some(stream),
            What::Own => None,
        };
        let since = self.since.as_ref();
        let life = match (self.incarnation, line.what) {
            (Some(wanted @ 0..), What::Child { incarnation, .. }) => {
                wanted == i64::from(incarnation)
            }
            (Some(_), What::Own) => false,
            _ => true,
        };
        life && (self.stream.is_none() || self.stream == stream)
            && since.is_none_or(|since| *since <= line.at)
            && self
                .grep
                .as_ref()
                .is_none_or(|re| re.is_match(line.text().as_str()))
    }

    /// The last `count` wanted lines of a log, newest first.
    pub(super) fn last(&self, name: &str, lines: Backward, count: usize) -> Vec<Line> {
        let mut lives = Lives::default();
        let mut taken = Vec::new();
        for raw in lines {
            let line = Line::of(name, &raw);
            let is_too_old = self.since.as_ref().is_some_and(|since| line.at < *since);
            let place = self.incarnation.map(|wanted| lives.place(&line, wanted));
            if taken.len() == count || is_too_old || place == Some(Place::Before) {
                break;
            }
            if place != Some(Place::Behind) && self.takes(&line) {
                taken.push(line);
            }
        }
        taken
    }
}

/// Where a line stands to the life that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Behind,
    Inside,
    Before,
}

/// Tells the lives of one child apart, read from the newest line on.
#[derive(Debug, Default)]
struct Lives {
    /// Lives from the end, the latest is 1.
    age: i64,
    incarnation: u32,
    /// Whether the line before was the first of its life.
    was_first: bool,
    found: Option<i64>,
}

impl Lives {
    fn place(&mut self, line: &Line, wanted: i64) -> Place {
        let What::Child {
            incarnation, seq, ..
        } = line.what
        else {
            return Place::Behind;
        };
        if self.age == 0 || self.was_first || incarnation != self.incarnation {
            self.age += 1;
            self.incarnation = incarnation;
        }
        self.was_first = seq == 1;
        let is_wanted = if wanted < 0 {
            self.age == -wanted
        } else {
            i64::from(incarnation) == wanted && self.found.is_none_or(|age| age == self.age)
        };
        match self.found {
            _ if is_wanted => {
                self.found = Some(self.age);
                Place::Inside
            }
            Some(_) => Place::Before,
            None => Place::Behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::Follower;
    use super::*;
    use crate::protocol::log::Record;

    /// Two runs of a supervisor: lives 1 and 2, then 1 again.
    fn log() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        for (n, (incarnation, seq)) in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (1, 1), (1, 2)]
            .into_iter()
            .enumerate()
        {
            let record = Record {
                ts: format!("2026-11-21T09:14:0{n}.000Z").into(),
                incarnation,
                seq,
                stream: if seq == 2 { Stream::Err } else { Stream::Out },
                ..Record::default()
            };
            let line = format!("line {n}");
            record.with_line(line.as_bytes()).write_to(&mut text);
        }
        std::fs::write(dir.path().join("x.log"), text).unwrap();
        dir
    }

    fn texts(wanted: &Wanted, count: usize) -> Vec<String> {
        let dir = log();
        let lines = Follower::open(&dir.path().join("x.log")).1;
        let mut last = wanted.last("x", lines, count);
        last.reverse();
        last.iter().map(|l| l.text().replace("line ", "")).collect()
    }

    #[test]
    fn the_last_lines_are_taken_that_match() {
        let all = Wanted::default();
        assert_eq!(texts(&all, 2), ["5", "6"]);
        let err = Wanted {
            stream: Some(Stream::Err),
            ..Wanted::default()
        };
        assert_eq!(texts(&err, 2), ["3", "6"]);
        let grep = Wanted {
            grep: Some(Regex::new("[04]$").unwrap()),
            ..Wanted::default()
        };
        assert_eq!(texts(&grep, 9), ["0", "4"]);
        let since = Wanted {
            since: Some("2026-11-21T09:14:05.000Z".to_owned()),
            ..Wanted::default()
        };
        assert_eq!(texts(&since, 9), ["5", "6"]);
    }

    #[test]
    fn a_life_is_counted_from_the_end_or_named_by_its_number() {
        let of = |incarnation| Wanted {
            incarnation: Some(incarnation),
            ..Wanted::default()
        };
        assert_eq!(texts(&of(-1), 9), ["5", "6"]);
        assert_eq!(texts(&of(-2), 9), ["2", "3", "4"]);
        assert_eq!(texts(&of(-3), 9), ["0", "1"]);
        assert_eq!(texts(&of(-4), 9), [""; 0]);
        assert_eq!(texts(&of(2), 9), ["2", "3", "4"]);
        assert_eq!(texts(&of(1), 9), ["5", "6"], "of the latest run");
    }
}
