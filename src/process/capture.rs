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
mod life;
mod lines;
mod sink;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::logfile::Limits;
use crate::protocol::life::Life;
use sink::{Kind, Sink};

pub use life::LifeLog;
pub use sink::LogUsage;

/// Chunks of all logs that may wait for the disk; each log has a bound in bytes
/// of its own.
const CHUNKS_MAX: usize = 2048;

/// What a chunk costs beside its bytes, so that small ones are bounded too.
const CHUNK_COST: usize = 4096;

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
        LifeLog::of(self.clone(), incarnation)
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

#[cfg(test)]
mod tests;
