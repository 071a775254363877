//! The output of children: drained from birth, framed into lines, kept.
//!
//! Every line becomes one JSON record in `logs/<name>.log`:
//!
//! ```text
//! {"at":"2026-11-21T09:14:02.120Z","stream":"err","line":"listening"}      any text
//! {"at":"2026-11-21T09:14:02.120Z","stream":"err","log":{"level":"INFO"}}  a line that is a JSON object
//! {"at":"2026-11-21T09:14:02.120Z","stream":"falco","line":"started, pid 8812"}  a word of our own
//! ```
//!
//! A line over 64 KiB is split. Reading never waits for the disk: one thread
//! writes for all children, and what it cannot take is counted, and the count
//! is written. So a child is never blocked by its own log.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::{Buf, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use crate::clock;
use crate::logfile::{Limits, LogFile};

/// The longest line that is kept whole.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Chunks waiting for the disk, at most 64 KiB and one record each.
const CHUNKS_MAX: usize = 64;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The child's standard output.
    Out,
    /// The child's standard error.
    Err,
    /// The supervisor, about the child.
    Own,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Own => "falco",
        }
    }
}

enum Job {
    Write { log: Arc<str>, records: Vec<u8> },
    Flush(oneshot::Sender<()>),
}

/// Handle to the thread that writes the logs of all children.
#[derive(Debug, Clone)]
pub struct Logs {
    jobs: SyncSender<Job>,
}

impl Logs {
    /// Starts the thread; logs go to `directory`, which exists.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(directory: PathBuf, limits: Limits) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(CHUNKS_MAX);
        let work = move || write_all(&queue, &directory, limits);
        std::thread::Builder::new()
            .name("logs".into())
            .spawn(work)?;
        Ok(Self { jobs })
    }

    /// The log called `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> Log {
        Log {
            name: name.into(),
            jobs: self.jobs.clone(),
            dropped: 0,
        }
    }

    /// Resolves when everything written before is in the files.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        // A full queue means a disk that does not keep up: do not wait for it.
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            _ = flushed.await;
        }
    }
}

/// One log, written to by one stream.
#[derive(Debug, Clone)]
pub struct Log {
    name: Arc<str>,
    jobs: SyncSender<Job>,
    dropped: u64,
}

impl Log {
    /// Writes a word of our own.
    pub fn note(&mut self, text: &str) {
        let mut records = Vec::new();
        write_record(&mut records, Stream::Own, text.as_bytes());
        self.write(records, 1);
    }

    /// Keeps everything `pipe` yields until it ends.
    pub async fn drain(mut self, mut pipe: impl AsyncRead + Unpin, stream: Stream) {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(LINE_BYTES_MAX / 8);
            let read = pipe.read_buf(&mut buffer).await;
            let ended = !matches!(read, Ok(1..));
            self.keep_lines(&mut buffer, stream, ended);
            if ended {
                return;
            }
        }
    }

    fn keep_lines(&mut self, buffer: &mut BytesMut, stream: Stream, ended: bool) {
        let mut records = Vec::new();
        let mut lines = 0;
        while let Some((line, taken)) = next_line(buffer, ended) {
            write_record(&mut records, stream, &buffer[..line]);
            buffer.advance(taken);
            lines += 1;
        }
        if 0 < lines {
            self.write(records, lines);
        }
    }

    fn write(&mut self, mut records: Vec<u8>, lines: u64) {
        if 0 < self.dropped {
            let text = format!("dropped {} lines: the disk did not keep up", self.dropped);
            write_record(&mut records, Stream::Own, text.as_bytes());
        }
        let log = Arc::clone(&self.name);
        match self.jobs.try_send(Job::Write { log, records }) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += lines,
        }
    }
}

/// Length of the next line in `buffer` and how much to take off for it.
fn next_line(buffer: &[u8], ended: bool) -> Option<(usize, usize)> {
    let window = &buffer[..buffer.len().min(LINE_BYTES_MAX)];
    match memchr::memchr(b'\n', window) {
        Some(end) => {
            let line = buffer[..end].strip_suffix(b"\r").map_or(end, <[u8]>::len);
            Some((line, end + 1))
        }
        None if window.len() == LINE_BYTES_MAX => Some((LINE_BYTES_MAX, LINE_BYTES_MAX)),
        None if ended && !buffer.is_empty() => Some((buffer.len(), buffer.len())),
        None => None,
    }
}

#[derive(Serialize)]
struct Record<'a> {
    at: String,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a RawValue>,
}

fn write_record(records: &mut Vec<u8>, stream: Stream, line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    let object = text
        .starts_with('{')
        .then(|| serde_json::from_str::<&RawValue>(&text).ok());
    let object = object.flatten();
    let record = Record {
        at: clock::utc(clock::now_ms()),
        stream: stream.as_str(),
        line: object.is_none().then_some(&text),
        log: object,
    };
    serde_json::to_writer(&mut *records, &record).expect("records serialize");
    records.push(b'\n');
}

fn write_all(queue: &Receiver<Job>, directory: &std::path::Path, limits: Limits) {
    let mut files: HashMap<Arc<str>, LogFile> = HashMap::new();
    for job in queue {
        match job {
            Job::Write { log, records } => {
                let open = || LogFile::new(directory.join(format!("{log}.log")), limits);
                let file = files.entry(Arc::clone(&log)).or_insert_with(open);
                // A full disk loses the lines; the child goes on.
                _ = file.write_all(&records);
            }
            Job::Flush(done) => _ = done.send(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(input: &[u8]) -> Vec<serde_json::Value> {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::start(dir.path().into(), Limits::default()).unwrap();
        logs.of("x").drain(input, Stream::Err).await;
        logs.flush().await;
        let text = std::fs::read_to_string(dir.path().join("x.log")).unwrap_or_default();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn every_line_is_kept_also_the_last_without_newline() {
        let records = kept(b"one\r\n\ntwo \xff\nthree").await;
        let lines: Vec<_> = records
            .iter()
            .map(|r| r["line"].as_str().unwrap())
            .collect();
        assert_eq!(lines, ["one", "", "two \u{fffd}", "three"]);
        assert!(records.iter().all(|r| r["stream"] == "err"));
    }

    #[tokio::test]
    async fn a_line_that_is_a_json_object_stays_one() {
        let records = kept(b"{\"level\":\"INFO\"}\n{broken\n").await;
        assert_eq!(records[0]["log"]["level"], "INFO");
        assert_eq!(records[1]["line"], "{broken");
    }

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_split_and_none_of_it_is_lost() {
        let input = vec![b'x'; LINE_BYTES_MAX * 2 + 10];
        let records = kept(&input).await;
        let sizes: Vec<_> = records
            .iter()
            .map(|r| r["line"].as_str().unwrap().len())
            .collect();
        assert_eq!(sizes, [LINE_BYTES_MAX, LINE_BYTES_MAX, 10]);
    }
}
