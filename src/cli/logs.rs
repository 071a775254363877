//! `falco logs`: what the chain wrote, merged by time.
//!
//! ```text
//! 09:14:02.120 transport │ INFO Connected to Ably. host=127.0.0.1
//! 09:14:02.131 emulator  ┆ a line of standard error
//! 09:15:40.002 transport ═ signal SEGV after 97 s
//! ```

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use super::progress::Progress;
use super::settings::Instance;
use crate::logfile::older;
use crate::paths::Paths;

/// How often files are looked at with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Bytes read from the end of a file to find its last lines.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// Lines of a part that failed, shown with the failure.
const LAST_LINES: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts whose logs are wanted, or falco for the supervisor [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on printing what is written
    #[arg(short, long)]
    follow: bool,
    /// How many lines from before
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 200)]
    lines: usize,
    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let mut files = files(&paths.logs(), &args.names)?;
    let mut lines: Vec<Line> = Vec::new();
    for file in &mut files {
        lines.extend(file.last_lines(args.lines));
    }
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    for line in &lines[lines.len().saturating_sub(args.lines)..] {
        output::line(&line.render(args.json))?;
    }
    if args.follow {
        return follow(&mut files, args.json);
    }
    Ok(())
}

/// Prints what is written, until nobody reads it any more.
fn follow(files: &mut [LogReader], json: bool) -> Result<(), Failure> {
    while output::is_read_within(FOLLOW_PAUSE) {
        let mut new: Vec<Line> = files.iter_mut().flat_map(LogReader::new_lines).collect();
        new.sort_by(|a, b| a.at.cmp(&b.at));
        for line in new {
            output::line(&line.render(json))?;
        }
    }
    Ok(())
}

/// Shows the last lines, written at `since` or later, of a part that failed.
pub(super) fn show_last(paths: &Paths, part: &str, since: &str, progress: &Progress) {
    let Ok(mut files) = files(&paths.logs(), &[part.to_owned()]) else {
        return;
    };
    progress.say(&format!("    last output of {part}:"));
    let last = files.iter_mut().flat_map(|f| f.last_lines(LAST_LINES));
    for line in last.filter(|line| since <= line.at.as_str()) {
        progress.say(&format!("    {}", line.render(false)));
    }
}

/// The logs in `directory` that are asked for.
fn files(directory: &Path, names: &[String]) -> Result<Vec<LogReader>, Failure> {
    let entries = fs::read_dir(directory).map_err(|e| {
        let error = format!("there are no logs: {}: {e}", directory.display());
        Failure::new(Exit::Failed, error).hint("falco up writes some")
    })?;
    let paths = entries.filter_map(|e| Some(e.ok()?.path()));
    let mut known: Vec<LogReader> = paths.filter_map(LogReader::of).collect();
    known.sort_by(|a, b| a.name.cmp(&b.name));
    let all: Vec<_> = known.iter().map(|f| f.name.clone()).collect();
    if let Some(name) = names.iter().find(|n| !all.contains(n)) {
        let error = format!("there is no log {name:?}; there are {}", all.join(", "));
        return Err(Failure::new(Exit::Usage, error));
    }
    known.retain(|f| names.is_empty() || names.contains(&f.name));
    Ok(known)
}

/// One log, read forward from where it was read to.
struct LogReader {
    name: String,
    path: PathBuf,
    inode: u64,
    offset: u64,
}

impl LogReader {
    /// `NAME.log` is a log; older files of it and the boot log are not.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
        (!name.contains('.')).then_some(Self {
            name,
            inode: 0,
            offset: 0,
            path,
        })
    }

    /// The last lines, also of the file before the current one.
    fn last_lines(&mut self, count: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Ok(file) = File::open(older(&self.path, 1)) {
            lines = self.read(file, None).0;
        }
        lines.extend(self.new_lines());
        lines.split_off(lines.len().saturating_sub(count))
    }

    /// What was written since the last time.
    fn new_lines(&mut self) -> Vec<Line> {
        let Ok(file) = File::open(&self.path) else {
            return Vec::new();
        };
        let meta = file
            .metadata()
            .map(|m| (m.ino(), m.len()))
            .unwrap_or_default();
        let from = match meta {
            _ if self.inode == 0 => None,
            (inode, len) if inode == self.inode && self.offset <= len => Some(self.offset),
            _ => Some(0),
        };
        let (lines, offset) = self.read(file, from);
        (self.inode, self.offset) = (meta.0, offset);
        lines
    }

    /// Complete lines from `from` (or from near the end), and where they end.
    fn read(&self, mut file: File, from: Option<u64>) -> (Vec<Line>, u64) {
        let end = file.metadata().map(|m| m.len()).unwrap_or_default();
        let start = from.unwrap_or_else(|| end.saturating_sub(TAIL_BYTES));
        if file.seek(SeekFrom::Start(start)).is_err() {
            return (Vec::new(), start);
        }
        let mut reader = BufReader::new(file.take(TAIL_BYTES));
        let (mut lines, mut offset) = (Vec::new(), start);
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut bytes) {
            if !bytes.ends_with(b"\n") {
                break;
            }
            let cut_off = offset == start && from.is_none() && 0 < start;
            offset += bytes.len() as u64;
            if !cut_off {
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                lines.push(Line::of(&self.name, text));
            }
            bytes.clear();
        }
        (lines, offset)
    }
}

/// One record of a log.
struct Line {
    name: String,
    /// RFC 3339 in UTC: sorts as it reads.
    at: String,
    record: Value,
    raw: String,
}

impl Line {
    fn of(name: &str, raw: String) -> Self {
        let record: Value = serde_json::from_str(&raw).unwrap_or_default();
        let at = record.get("at").or_else(|| record.get("timestamp"));
        Self {
            name: name.to_owned(),
            at: at.and_then(Value::as_str).unwrap_or_default().to_owned(),
            record,
            raw,
        }
    }

    fn render(&self, json: bool) -> String {
        if json {
            return self.raw.clone();
        }
        let time = self.at.get(11..23).unwrap_or("            ");
        let (bar, text) = match self.record.get("stream").and_then(Value::as_str) {
            Some("falco") => ("═", self.text()),
            Some("err") => ("┆", self.text()),
            _ => ("│", self.text()),
        };
        format!("{time} {:<9} {bar} {text}", self.name)
    }

    fn text(&self) -> String {
        if let Some(line) = self.record.get("line").and_then(Value::as_str) {
            return visible(line);
        }
        match self.record.get("log").unwrap_or(&self.record) {
            Value::Object(log) => visible(&own(log).unwrap_or_else(|| self.raw.clone())),
            _ => visible(&self.raw),
        }
    }
}

/// A line of our own log: level, sentence, fields.
fn own(log: &serde_json::Map<String, Value>) -> Option<String> {
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

/// A child's output must not move the cursor or ring the bell.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rendered(record: &str) -> String {
        Line::of("x", record.to_owned()).render(false)
    }

    #[test]
    fn every_kind_of_record_is_one_readable_line() {
        let text =
            rendered(r#"{"at":"2026-11-21T09:14:02.120Z","stream":"err","line":"hi\u001b[2J"}"#);
        assert_eq!(text, "09:14:02.120 x         ┆ hi\u{fffd}[2J");
        let text = rendered(
            r#"{"at":"2026-11-21T09:14:02.120Z","stream":"out","log":{"level":"INFO","fields":{"message":"Ready.","port":1}}}"#,
        );
        assert_eq!(text, "09:14:02.120 x         │ INFO Ready. port=1");
    }

    #[test]
    fn following_yields_each_complete_line_once_also_across_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"{\"line\":\"1\"}\n{\"line\":").unwrap();
        let mut reader = LogReader::of(path.clone()).unwrap();
        let text = |lines: Vec<Line>| lines.iter().map(Line::text).collect::<Vec<_>>();
        assert_eq!(text(reader.last_lines(10)), ["1"]);
        file.write_all(b"\"2\"}\n").unwrap();
        assert_eq!(text(reader.new_lines()), ["2"]);
        fs::rename(&path, older(&path, 1)).unwrap();
        fs::write(&path, "{\"line\":\"3\"}\n").unwrap();
        assert_eq!(text(reader.new_lines()), ["3"]);
        assert_eq!(text(reader.new_lines()), [""; 0]);
    }
}
