//! What a part wrote last.

use super::files::Follower;
use super::line::{Line, What};
use super::list::{NAME_WIDTH, logs};
use super::select::Wanted;
use super::sort;
use crate::cli::moment::Local;
use crate::cli::progress::Progress;
use crate::paths::Paths;
use crate::protocol::control::PartStatus;
use crate::protocol::log::Stream;

/// Lines of a part that failed, shown with the failure.
const LAST_LINES: usize = 20;

/// Lines looked through for what a part said last: behind it may be a flood of
/// others.
const LOOKED_THROUGH: usize = 1000;

/// As much of what a part said last as is shown, in characters.
const WORD_CHARS_MAX: usize = 200;

/// Shows the last lines, written at `since` or later, of a part that failed.
pub(in crate::cli) fn show_last(paths: &Paths, part: &str, since: &str, progress: &Progress) {
    let Ok(logs) = logs(paths, &[part.to_owned()]) else {
        return;
    };
    progress.say(&format!("    last output of {part}:"));
    let wanted = Wanted {
        since: Some(since.to_owned()),
        ..Wanted::default()
    };
    let local = Local::new();
    for log in logs {
        let mut last = wanted.last(&log.name, Follower::open(&log.path).1, LAST_LINES);
        sort(&mut last);
        for line in last {
            progress.say(&format!("    {}", line.render(local, NAME_WIDTH)));
        }
    }
}

/// What this life of a part said last, if it said anything at `since` or later;
/// what it advised is not meant. What is wrong is said on standard error; who
/// says nothing there says it on standard output.
pub(in crate::cli) fn last_word(paths: &Paths, part: &PartStatus, since: &str) -> Option<String> {
    let path = paths.logs().join(format!("{}.log", part.name));
    let newest = Follower::open(&path).1.take(LOOKED_THROUGH);
    let said = newest
        .map(|raw| Line::of(&part.name, &raw))
        .take_while(|line| *since <= *line.at)
        .map_while(|line| match line.what {
            What::Child {
                stream,
                incarnation,
                ..
            } if incarnation == part.incarnation => Some((stream, line)),
            _ => None,
        });
    let mut on_stdout = None;
    for (stream, line) in said {
        let text = line.text();
        let says_nothing = text.trim().is_empty() || text.starts_with("hint: ");
        match stream {
            _ if says_nothing => {}
            Stream::Err => return Some(shortened(&text)),
            Stream::Out => {
                on_stdout.get_or_insert(text);
            }
            // Not it, but we.
            Stream::Falco => {}
        }
    }
    on_stdout.as_deref().map(shortened)
}

fn shortened(word: &str) -> String {
    word.chars().take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::log::Record;

    /// Writes the log of a part's second life, a line a second.
    fn log(paths: &Paths, lines: &[(Stream, &str)]) {
        std::fs::create_dir_all(paths.logs()).unwrap();
        let mut log = Vec::new();
        for (n, (stream, text)) in lines.iter().enumerate() {
            let record = Record {
                ts: format!("2026-11-21T09:14:0{n}.000Z").into(),
                incarnation: 2,
                stream: *stream,
                ..Record::default()
            };
            record.with_line(text.as_bytes()).write_to(&mut log);
        }
        std::fs::write(paths.logs().join("web.log"), log).unwrap();
    }

    /// What its `incarnation` said last, not before that second.
    fn word(paths: &Paths, incarnation: u32, second: u32) -> Option<String> {
        let part = PartStatus {
            name: "web".to_owned(),
            incarnation,
            ..PartStatus::default()
        };
        last_word(paths, &part, &format!("2026-11-21T09:14:0{second}.000Z"))
    }

    #[test]
    fn what_a_life_said_last_is_its_own_and_short() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths::new(base.path().to_path_buf());
        let long = "x".repeat(1000);
        let lines = [
            (Stream::Err, &*long),
            (Stream::Err, "hint: y"),
            (Stream::Out, "z"),
        ];
        log(&paths, &lines);
        assert_eq!(word(&paths, 2, 0), Some("x".repeat(WORD_CHARS_MAX)));
        assert_eq!(word(&paths, 3, 0), None, "the life before said that");
        assert_eq!(word(&paths, 2, 3), None, "a chain before said that");
    }

    #[test]
    fn who_says_nothing_on_standard_error_said_it_on_standard_output() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths::new(base.path().to_path_buf());
        let lines = [
            (Stream::Out, "begun"),
            (Stream::Out, "out of memory"),
            (Stream::Err, "hint: y"),
            (Stream::Out, " "),
            (Stream::Falco, "exited 1"),
        ];
        log(&paths, &lines);
        assert_eq!(word(&paths, 2, 0), Some("out of memory".to_owned()));
    }
}
