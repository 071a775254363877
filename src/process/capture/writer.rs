//! The thread that writes every log.
//!
//! A disk that refuses is tried again every few seconds; meanwhile the newest
//! megabyte of each log waits in memory. What is lost is counted, and the count
//! is written where the lines would have been.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::sink::Sink;
use super::{Job, cost};
use crate::clock;
use crate::logfile::{LogFile, Unwritten};
use crate::protocol::life::{Entry, Life};

/// How long a disk that refused is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often the journal is told of dropped lines of one log.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Writes what is queued until every handle is gone.
pub(super) fn run(queue: &Receiver<Job>, journal: &Arc<Sink>) {
    let mut writer = Writer {
        logs: HashMap::new(),
        journal: Arc::clone(journal),
    };
    loop {
        let job = match writer.retry_at() {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match job {
            Ok(Job::Write { sink, records }) => {
                sink.taken(cost(&records));
                writer.write(&sink, records);
            }
            Ok(Job::Flush { sinks, done }) => {
                for sink in sinks {
                    writer.tell_drops(&sink);
                }
                _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.retry(true),
        }
        writer.retry(false);
    }
}

struct Writer {
    /// By path: a child may be called what a log of ours is called.
    logs: HashMap<PathBuf, Kept>,
    journal: Arc<Sink>,
}

impl Writer {
    fn write(&mut self, sink: &Arc<Sink>, records: Vec<u8>) {
        self.tell_drops(sink);
        self.append(sink, records);
    }

    fn append(&mut self, sink: &Arc<Sink>, records: Vec<u8>) {
        if let Some(life) = self.log(sink).append(records, Instant::now()) {
            self.note(life);
        }
    }

    /// Says in the log how many lines never reached this thread.
    fn tell_drops(&mut self, sink: &Arc<Sink>) {
        let lines = sink.take_untold();
        if lines == 0 {
            return;
        }
        self.append(sink, sink.dropped_line(lines, "the disk did not keep up"));
        if sink.is_journal() {
            return;
        }
        let log = sink.name().to_owned();
        if let Some(lines) = self.log(sink).drops_to_tell(lines) {
            self.note(Life::LogsDropped { log, lines });
        }
    }

    fn note(&mut self, life: Life) {
        let records = entry(life);
        let journal = Arc::clone(&self.journal);
        self.append(&journal, records);
    }

    fn log(&mut self, sink: &Arc<Sink>) -> &mut Kept {
        let path = sink.path().to_path_buf();
        let kept = self.logs.entry(path).or_insert_with(|| Kept::new(sink));
        kept.file.limit(sink.limits());
        kept
    }

    fn retry_at(&self) -> Option<Instant> {
        self.logs.values().filter_map(|kept| kept.retry_at).min()
    }

    /// Tries again what is due, or everything for the last time.
    fn retry(&mut self, everything: bool) {
        let now = Instant::now();
        let due = |kept: &&mut Kept| kept.retry_at.is_some_and(|at| everything || at <= now);
        let back = self.logs.values_mut().filter(due);
        let back: Vec<Life> = back.filter_map(|kept| kept.retry(now)).collect();
        for life in back {
            self.note(life);
        }
    }
}

/// A life event as its line in the journal.
pub(super) fn entry(life: Life) -> Vec<u8> {
    let ts = clock::utc(clock::now_ms());
    let mut records = serde_json::to_vec(&Entry { ts, life }).expect("life events serialize");
    records.push(b'\n');
    records
}

/// One log and what its disk has not taken.
struct Kept {
    sink: Arc<Sink>,
    file: LogFile,
    backlog: Backlog,
    /// When a disk that refused is tried again.
    retry_at: Option<Instant>,
    drops: u64,
    drops_told: Option<Instant>,
}

impl Kept {
    fn new(sink: &Arc<Sink>) -> Self {
        Self {
            file: LogFile::new(sink.path(), sink.limits()),
            sink: Arc::clone(sink),
            backlog: Backlog::default(),
            retry_at: None,
            drops: 0,
            drops_told: None,
        }
    }

    /// Writes `records`, or keeps them; says so when that begins.
    fn append(&mut self, records: Vec<u8>, now: Instant) -> Option<Life> {
        if self.retry_at.is_some() {
            self.keep(records);
            return None;
        }
        let Unwritten { written, source } = self.file.append(&records).err()?;
        self.keep(records[written..].to_vec());
        self.retry_at = Some(now + RETRY_AFTER);
        let error = source.to_string();
        self.sink.set_failing(Some(error.clone()));
        let log = self.sink.name().to_owned();
        Some(Life::LogsFailing { log, error })
    }

    fn keep(&mut self, records: Vec<u8>) {
        let lost = self.backlog.push(records);
        self.sink.count_dropped(lost);
    }

    /// Writes what waits; says so when all of it is written.
    fn retry(&mut self, now: Instant) -> Option<Life> {
        self.retry_at = Some(now + RETRY_AFTER);
        // Not earlier: whoever removes the directory may be about to remove more.
        // If it cannot be made, what follows says why.
        _ = self.file.make_directory();
        let lost = self.backlog.lost();
        if 0 < lost {
            let line = self.sink.dropped_line(lost, "the disk took none");
            self.file.append(&line).ok()?;
            self.backlog.forget_lost();
        }
        while let Some(records) = self.backlog.first() {
            let bytes = records.len();
            let appended = self.file.append(records);
            let written = appended.as_ref().map_or_else(|e| e.written, |()| bytes);
            self.backlog.written(written);
            appended.ok()?;
        }
        self.retry_at = None;
        self.sink.set_failing(None);
        let log = self.sink.name().to_owned();
        Some(Life::LogsBack { log })
    }

    /// How many dropped lines the journal is to be told of now.
    fn drops_to_tell(&mut self, lines: u64) -> Option<u64> {
        self.drops += lines;
        if self
            .drops_told
            .is_some_and(|at| at.elapsed() < DROPS_TOLD_EVERY)
        {
            return None;
        }
        self.drops_told = Some(Instant::now());
        Some(std::mem::take(&mut self.drops))
    }
}

#[cfg(test)]
mod tests;
