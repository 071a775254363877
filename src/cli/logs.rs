//! `falco logs`: what the chain wrote, merged by time.
//!
//! ```text
//! 09:14:02.120 transport │ INFO Connected to Ably. host=127.0.0.1
//! 09:14:02.131 emulator  ┆ a line of standard error
//! 09:15:40.002 transport ═ signal SEGV after 97 s
//! ```

pub(super) mod files;
mod last;
mod line;
mod list;
mod select;

use std::path::Path;
use std::time::Duration;

use regex_automata::meta::Regex;

use super::exit::Failure;
use super::moment::Local;
use super::output;
use super::past::Past;
use super::settings::Instance;
use crate::protocol::log::Stream;
use crate::report::Report;
use files::Follower;
pub(super) use last::{last_word, show_last};
use line::Line;
use list::{Log, list, logs, print_paths, width};
use select::Wanted;

/// How often files are looked at with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

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
    /// Print where the files are, and nothing of what is in them; with --json as one object
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
        return print_paths(&logs, args.past.json);
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
