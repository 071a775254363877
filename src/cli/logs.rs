//! `falco logs`: what the chain wrote, merged by time.
//!
//! ```text
//! 09:14:02.120 transport │ INFO Connected to Ably. host=127.0.0.1
//! 09:14:02.131 emulator  ┆ a line of standard error
//! 09:15:40.002 transport ═ signal SEGV after 97 s
//! ```

pub(super) mod files;
mod line;
mod select;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex_automata::meta::Regex;

use super::config::{self, BROKER};
use super::exit::{Exit, Failure};
use super::moment::Local;
use super::output;
use super::past::Past;
use super::progress::Progress;
use super::settings::Instance;
use super::typed;
use crate::logfile::older;
use crate::paths::Paths;
use crate::protocol::control::PartStatus;
use crate::protocol::log::Stream;
use crate::report::Report;
use files::Follower;
use line::{Line, What};
use select::Wanted;

/// How often files are looked at with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// Lines of a part that failed, shown with the failure.
const LAST_LINES: usize = 20;

/// Lines looked through for what a part said last: behind it may be a flood of
/// others.
const LOOKED_THROUGH: usize = 1000;

/// As much of what a part said last as is shown, in characters.
const WORD_CHARS_MAX: usize = 200;

/// What names take at least, so that most logs stand in one column.
const NAME_WIDTH: usize = 9;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  falco logs -f                          everything, as it comes
  falco logs transport --incarnation -1  the latest life of the transport
  falco logs --since 10m --grep 'WARN|ERROR'")]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts whose logs are wanted, or falco for the supervisor [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    past: Past,
    /// Only this stream of the children
    #[arg(long, value_enum)]
    stream: Option<WantedStream>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE", value_parser = pattern)]
    grep: Option<Regex>,
    /// Only this life of each child; -1 is its latest, -2 the one before
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    incarnation: Option<i64>,
    /// Print where the files are, and nothing of what is in them
    #[arg(long)]
    path: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum WantedStream {
    Out,
    Err,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| Report(&error).to_string())
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let local = Local::new();
    let paths = args.instance.paths()?;
    let logs = logs(&paths, &args.names)?;
    if args.path {
        return print_paths(&logs);
    }
    let wanted = args.wanted(local)?;
    let printer = Printer {
        json: args.past.json,
        width: width(&logs),
        local,
    };
    let count = args.past.count();
    let mut followed = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for log in logs {
        if log.is_silent() {
            output::message(&format!("{} has written nothing yet", log.name));
        }
        let (follower, before) = Follower::open(&log.path);
        lines.extend(wanted.last(&log.name, before, count));
        followed.push((log, follower));
    }
    sort(&mut lines);
    for line in &lines[lines.len().saturating_sub(count)..] {
        printer.print(line)?;
    }
    if args.past.follow {
        let all = args.names.is_empty();
        return follow(&paths.logs(), followed, all, &wanted, &printer);
    }
    Ok(())
}

impl Args {
    fn wanted(&self, local: Local) -> Result<Wanted, Failure> {
        Ok(Wanted {
            since: self.past.since(local)?,
            stream: self.stream.map(|stream| match stream {
                WantedStream::Out => Stream::Out,
                WantedStream::Err => Stream::Err,
            }),
            grep: self.grep.clone(),
            incarnation: self.incarnation,
        })
    }
}

struct Printer {
    json: bool,
    width: usize,
    local: Local,
}

impl Printer {
    fn print(&self, line: &Line) -> Result<(), Failure> {
        if self.json {
            return output::line(line.raw());
        }
        output::line(&line.render(self.local, self.width))
    }
}

fn sort(lines: &mut [Line]) {
    // Newest first came in, and lines of one moment keep their order.
    lines.reverse();
    lines.sort_by(|a, b| a.at.cmp(&b.at));
}

/// Prints what is written, until nobody reads it any more.
fn follow(
    directory: &Path,
    mut followed: Vec<(Log, Follower)>,
    all: bool,
    wanted: &Wanted,
    printer: &Printer,
) -> Result<(), Failure> {
    while output::is_read_within(FOLLOW_PAUSE) {
        if all {
            follow_new_logs(directory, &mut followed);
        }
        let mut new = Vec::new();
        for (log, follower) in &mut followed {
            let lines = follower.new_lines();
            let lines = lines.iter().map(|raw| Line::of(&log.name, raw));
            new.extend(lines.filter(|line| wanted.takes(line)));
        }
        new.sort_by(|a, b| a.at.cmp(&b.at));
        for line in &new {
            printer.print(line)?;
        }
    }
    Ok(())
}

/// A part may be started for the first time while we follow.
fn follow_new_logs(directory: &Path, followed: &mut Vec<(Log, Follower)>) {
    for log in list(directory).unwrap_or_default() {
        if followed.iter().all(|(known, _)| known.name != log.name) {
            let follower = Follower::from_the_beginning(&log.path);
            followed.push((log, follower));
        }
    }
}

/// Shows the last lines, written at `since` or later, of a part that failed.
pub(super) fn show_last(paths: &Paths, part: &str, since: &str, progress: &Progress) {
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
pub(super) fn last_word(paths: &Paths, part: &PartStatus, since: &str) -> Option<String> {
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

/// A log by name.
struct Log {
    name: String,
    path: PathBuf,
}

impl Log {
    /// `NAME.log` is a log; older files of it and the boot log are not.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
        (!name.contains('.')).then_some(Self { name, path })
    }
}

impl Log {
    /// Whether nothing was ever written to it.
    fn is_silent(&self) -> bool {
        !self.path.exists() && !older(&self.path, 1).exists()
    }
}

fn width(logs: &[Log]) -> usize {
    let longest = logs.iter().map(|log| log.name.chars().count()).max();
    longest.unwrap_or(0).max(NAME_WIDTH)
}

fn list(directory: &Path) -> std::io::Result<Vec<Log>> {
    let entries = std::fs::read_dir(directory)?;
    let paths = entries.filter_map(|e| Some(e.ok()?.path()));
    let mut logs: Vec<Log> = paths.filter_map(Log::of).collect();
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(logs)
}

/// Nothing that could be told is there, or it cannot be read.
fn no_logs(paths: &Paths, directory: &Path, error: &io::Error) -> Failure {
    let directory = directory.display();
    if error.kind() == io::ErrorKind::NotFound {
        let error = format!("there are no logs: {directory}: {error}");
        return Failure::new(Exit::Failed, error)
            .hint(format!("{} writes some", typed::falco(paths, "up")));
    }
    let exit = Exit::of_call(error, Exit::Failed);
    Failure::new(exit, format!("failed to list {directory}: {error}"))
}

/// The logs that are asked for; one of a part that has not written anything
/// has no file.
fn logs(paths: &Paths, names: &[String]) -> Result<Vec<Log>, Failure> {
    let directory = paths.logs();
    let mut logs = list(&directory).map_err(|e| no_logs(paths, &directory, &e))?;
    for name in names {
        if logs.iter().all(|log| log.name != *name) {
            let all: Vec<_> = logs.iter().map(|log| log.name.as_str()).collect();
            check_silent(paths, name, &all)?;
            let path = directory.join(format!("{name}.log"));
            logs.push(Log {
                name: name.clone(),
                path,
            });
        }
    }
    logs.retain(|f| names.is_empty() || names.contains(&f.name));
    Ok(logs)
}

/// Whether `name`, which has no log, is a part that will have one.
fn check_silent(paths: &Paths, name: &str, all: &[&str]) -> Result<(), Failure> {
    if name == BROKER {
        let error = "the broker has no log of its own: it runs inside the supervisor";
        return Err(Failure::new(Exit::Usage, error).hint(typed::falco(paths, "logs falco")));
    }
    if config::part_names(paths).iter().any(|part| part == name) {
        return Ok(());
    }
    let error = format!("there is no log {name:?}; there are {}", all.join(", "));
    Err(Failure::new(Exit::Usage, error))
}

/// Prints every file of `logs`, newest first.
fn print_paths(logs: &[Log]) -> Result<(), Failure> {
    for log in logs {
        let old = (1..).map(|n| older(&log.path, n));
        let current = Some(log.path.clone()).filter(|p| p.exists());
        let files = current.into_iter().chain(old.take_while(|p| p.exists()));
        for file in files {
            output::line(&file.display().to_string())?;
        }
    }
    Ok(())
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
