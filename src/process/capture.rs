//! The output of children: drained from birth, framed into lines, kept. And the
//! other logs beside them: our own, and the journal of life events.
//!
//! Every line becomes one JSON record in `logs/<name>.log`, see
//! [`crate::protocol::log`]. A line over 64 KiB is cut into records that say
//! so; bytes that are no text are kept as they are.
//!
//! Reading never waits for the disk: one thread writes all logs, each log may
//! have so many bytes waiting for it, and what is beyond is dropped, counted,
//! and the count is written. A full disk is tried again while the newest lines
//! wait in memory. So a child is never blocked by its own log, nor by
//! another's.
//!
//! ```text
//! pipe ──drain──▶ lines ──records──▶ queue ──▶ writer thread ──▶ LogFile
//!                            │ full                │ disk refuses
//!                            ▼                     ▼
//!                         counted            Backlog, 1 MiB, tried again
//! ```

mod backlog;
mod lines;
mod sink;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use crate::clock;
use crate::logfile::Limits;
use crate::protocol::life::Life;
use crate::protocol::log::{Record, Stream};
use lines::Line;
use sink::{Kind, Sink};

pub use sink::LogUsage;

/// Chunks of all logs that may wait for the disk; each log has a bound in bytes
/// of its own.
const CHUNKS_MAX: usize = 2048;

/// What a chunk costs beside its bytes, so that small ones are bounded too.
const CHUNK_COST: usize = 4096;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Bytes that one child may print before the others have a turn.
const TURN_BYTES: usize = 64 * 1024;

/// How long a disk that does not keep up is waited for when a life is over.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// The log of the supervisor itself.
const OWN: &str = "falco";

/// The journal of life events.
const JOURNAL: &str = "events";

enum Job {
    Write {
        sink: Arc<Sink>,
        records: Vec<u8>,
    },
    Flush {
        sinks: Vec<Arc<Sink>>,
        done: oneshot::Sender<()>,
    },
}

/// What a chunk of `records` counts for while it waits.
fn cost(records: &[u8]) -> usize {
    records.len() + CHUNK_COST
}

/// Handle to the thread that writes all logs.
#[derive(Debug, Clone)]
pub struct Logs {
    jobs: SyncSender<Job>,
    directory: Arc<Path>,
    sinks: Arc<Mutex<BTreeMap<String, Arc<Sink>>>>,
    journal: Arc<Sink>,
}

impl Logs {
    /// Starts the thread; logs go to `directory`, which exists.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(directory: PathBuf) -> io::Result<Self> {
        let (jobs, queue): (_, Receiver<Job>) = sync_channel(CHUNKS_MAX);
        let journal = Arc::new(Sink::new(&directory, JOURNAL, Kind::Journal));
        let sink = Arc::clone(&journal);
        std::thread::Builder::new()
            .name("logs".into())
            .spawn(move || writer::run(&queue, &sink))?;
        Ok(Self {
            jobs,
            directory: directory.into(),
            sinks: Arc::default(),
            journal,
        })
    }

    /// The log of the child called `name`, which may get so large.
    #[must_use]
    pub fn of(&self, name: &str, limits: Limits) -> Log {
        let log = self.log(name, Kind::Child);
        log.sink.limit(limits);
        log
    }

    /// The supervisor's own log, for tracing to write to, which may get so large.
    #[must_use]
    pub fn own(&self, limits: Limits) -> Log {
        let log = self.log(OWN, Kind::Own);
        log.sink.limit(limits);
        log
    }

    /// The journal of life events.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal {
            log: Log {
                sink: Arc::clone(&self.journal),
                jobs: self.jobs.clone(),
            },
        }
    }

    fn log(&self, name: &str, kind: Kind) -> Log {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Sink::new(&self.directory, name, kind));
        let sink = sinks.entry(name.to_owned()).or_insert_with(make);
        Log {
            sink: Arc::clone(sink),
            jobs: self.jobs.clone(),
        }
    }

    fn all(&self) -> Vec<Arc<Sink>> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = sinks.values().cloned().collect();
        all.push(Arc::clone(&self.journal));
        all
    }

    /// How the log called `name` is doing, if there is one.
    #[must_use]
    pub fn usage_of(&self, name: &str) -> Option<LogUsage> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = sinks.get(name).cloned();
        drop(sinks);
        sink.map(|sink| sink.usage())
    }

    /// How all logs together are doing.
    #[must_use]
    pub fn usage(&self) -> LogUsage {
        let mut sum = LogUsage::default();
        for sink in self.all() {
            let one = sink.usage();
            sum.bytes += one.bytes;
            sum.cap += one.cap;
            sum.dropped += one.dropped;
            let trouble = |t| format!("{}: {t}", sink.path().display());
            sum.trouble = sum.trouble.or(one.trouble.map(trouble));
        }
        sum
    }

    /// Resolves when everything written before is in the files, or soon.
    pub async fn flush(&self) {
        flush(&self.jobs, self.all()).await;
    }

    /// As [`Self::flush`], for whoever has no runtime any more.
    pub fn finish(&self) {
        let (done, mut flushed) = oneshot::channel();
        let sinks = self.all();
        let deadline = Instant::now() + FLUSH_PATIENCE;
        if self.jobs.try_send(Job::Flush { sinks, done }).is_ok() {
            while flushed.try_recv() == Err(oneshot::error::TryRecvError::Empty)
                && Instant::now() < deadline
            {
                std::thread::sleep(FLUSH_LOOK);
            }
        }
    }
}

/// The moment of a line, as the records have it.
fn now() -> String {
    clock::utc(clock::now_ms())
}

async fn flush(jobs: &SyncSender<Job>, sinks: Vec<Arc<Sink>>) {
    let (done, flushed) = oneshot::channel();
    let mut job = Job::Flush { sinks, done };
    let flushing = async {
        // A full queue means a disk that does not keep up.
        while let Err(TrySendError::Full(again)) = jobs.try_send(job) {
            job = again;
            tokio::time::sleep(FLUSH_LOOK).await;
        }
        _ = flushed.await;
    };
    _ = tokio::time::timeout(FLUSH_PATIENCE, flushing).await;
}

/// One log; clones write to the same.
#[derive(Debug, Clone)]
pub struct Log {
    sink: Arc<Sink>,
    jobs: SyncSender<Job>,
}

impl Log {
    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.sink.name()
    }

    /// The output of one life of a child.
    #[must_use]
    pub fn life(&self, incarnation: u32) -> LifeLog {
        self.sink.lives_as(incarnation);
        LifeLog {
            log: self.clone(),
            incarnation,
            seq: Arc::default(),
        }
    }

    /// Hands `records` to the writer, or drops and counts them.
    fn push(&self, records: Vec<u8>, lines: u64) {
        let cost = cost(&records);
        if !self.sink.admits(cost) {
            return self.sink.refused(lines);
        }
        let sink = Arc::clone(&self.sink);
        if self.jobs.try_send(Job::Write { sink, records }).is_err() {
            self.sink.taken(cost);
            self.sink.refused(lines);
        }
    }
}

/// A whole line of our own log at a time, as tracing hands it over.
impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec(), 1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Handle to the journal of life events; never waits.
#[derive(Debug, Clone)]
pub struct Journal {
    log: Log,
}

impl Journal {
    /// Notes what happened, now.
    pub fn note(&self, life: Life) {
        self.log.push(writer::entry(life), 1);
    }
}

/// The log of one life of a child; clones count their lines together.
#[derive(Debug, Clone)]
pub struct LifeLog {
    log: Log,
    incarnation: u32,
    seq: Arc<AtomicU64>,
}

impl LifeLog {
    /// Writes a word of our own.
    pub fn note(&self, text: &str) {
        let mut records = Vec::new();
        self.record(&mut records, &now(), Stream::Falco, text.as_bytes(), false);
        self.log.push(records, 1);
    }

    /// Keeps everything `pipe` yields until it ends.
    pub async fn drain(self, mut pipe: impl AsyncRead + Unpin, stream: Stream) {
        let (mut buffer, mut turn) = (BytesMut::new(), 0);
        loop {
            buffer.reserve(READ_BYTES);
            let read = pipe.read_buf(&mut buffer).await;
            let ended = !matches!(read, Ok(1..));
            self.keep_lines(&mut buffer, stream, ended);
            if ended {
                return;
            }
            turn += read.unwrap_or(0);
            if TURN_BYTES <= turn {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Resolves when everything written before is in the file, or soon.
    pub async fn flush(&self) {
        flush(&self.log.jobs, vec![Arc::clone(&self.log.sink)]).await;
    }

    fn keep_lines(&self, buffer: &mut BytesMut, stream: Stream, ended: bool) {
        let (mut records, mut kept) = (Vec::new(), 0);
        let now = now();
        while let Some(Line { bytes, taken, cut }) = lines::next(buffer, ended) {
            self.record(&mut records, &now, stream, &buffer[..bytes], cut);
            buffer.advance(taken);
            kept += 1;
        }
        if 0 < kept {
            self.log.push(records, kept);
        }
    }

    fn record(&self, records: &mut Vec<u8>, ts: &str, stream: Stream, line: &[u8], cut: bool) {
        let record = Record {
            ts: ts.into(),
            child: self.log.sink.name().into(),
            incarnation: self.incarnation,
            stream,
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
            cut,
            ..Record::default()
        };
        record.with_line(line).write_to(records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(input: &[u8]) -> Vec<serde_json::Value> {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::start(dir.path().into()).unwrap();
        let life = logs.of("x", Limits::default()).life(7);
        life.clone().drain(input, Stream::Err).await;
        life.flush().await;
        let text = std::fs::read_to_string(dir.path().join("x.log")).unwrap_or_default();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn every_line_is_kept_also_the_last_without_newline() {
        let records = kept(b"one\r\n\ntwo \xff\nthree").await;
        let lines: Vec<_> = records.iter().map(|r| r["msg"].as_str().unwrap()).collect();
        assert_eq!(lines, ["one\r", "", "two \u{fffd}", "three"]);
        let facts = |r: &serde_json::Value| (r["stream"] == "err", r["incarnation"] == 7);
        assert!(records.iter().all(|r| facts(r) == (true, true)));
        let seqs: Vec<_> = records.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_split_and_marked_and_none_of_it_is_lost() {
        let input = vec![b'x'; lines::LINE_BYTES_MAX * 2 + 10];
        let records = kept(&input).await;
        let parts: Vec<_> = records
            .iter()
            .map(|r| (r["msg"].as_str().unwrap().len(), r["cut"] == true))
            .collect();
        let max = lines::LINE_BYTES_MAX;
        assert_eq!(parts, [(max, true), (max, true), (10, false)]);
    }

    #[tokio::test]
    async fn a_flood_drops_its_own_lines_only_and_says_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let (jobs, queue) = sync_channel(CHUNKS_MAX);
        let logs = Logs {
            jobs,
            directory: dir.path().into(),
            sinks: Arc::default(),
            journal: Arc::new(Sink::new(dir.path(), JOURNAL, Kind::Journal)),
        };
        // Nobody writes yet: the disk does not keep up.
        let input = b"a line of some length\n".repeat(200_000);
        logs.of("flood", Limits::default())
            .life(1)
            .drain(&input[..], Stream::Out)
            .await;
        logs.of("quiet", Limits::default())
            .life(1)
            .drain(&b"heard\n"[..], Stream::Out)
            .await;
        let dropped = logs.usage_of("flood").unwrap().dropped;
        assert!(0 < dropped);
        let journal = Arc::clone(&logs.journal);
        let writing = std::thread::spawn(move || writer::run(&queue, &journal));
        logs.of("flood", Limits::default()).life(2).note("after");
        logs.flush().await;
        drop(logs);
        writing.join().unwrap();
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("quiet.log").contains("heard"));
        let flood = read("flood.log");
        assert!(
            flood.contains(&format!("dropped {dropped} lines")),
            "{dropped}"
        );
        let lines = flood.lines().filter(|l| l.contains("a line of")).count() as u64;
        assert_eq!(lines + dropped, 200_000);
        assert!(read("events.jsonl").contains("logs_dropped"));
    }
}
