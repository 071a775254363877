//! One log as everybody sees it: its name, its bounds, what was lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::writer;
use crate::clock;
use crate::counted::counted;
use crate::logfile::{self, Limits};
use crate::protocol::life::Life;
use crate::protocol::log::{Record, Stream};

/// Bytes of one log that may wait for the disk, with what each chunk costs.
///
/// Each log has this much of its own: a child that floods drops its own lines.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;

/// What the lines of a log look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records of a child's output.
    Child,
    /// Our own log, as tracing writes it.
    Own,
    /// The journal of life events.
    Journal,
}

/// How a log is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogUsage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes there may be.
    pub cap: u64,
    /// Lines lost since the start.
    pub dropped: u64,
    /// Why it cannot be written now.
    pub trouble: Option<String>,
}

/// Shared between those who write to a log and the thread that writes it out.
#[derive(Debug)]
pub(super) struct Sink {
    name: String,
    path: PathBuf,
    kind: Kind,
    settings: Mutex<Settings>,
    /// The newest life that writes here.
    incarnation: AtomicU32,
    queued: AtomicUsize,
    dropped: AtomicU64,
    untold: AtomicU64,
}

#[derive(Debug, Default)]
struct Settings {
    limits: Limits,
    failing: Option<String>,
}

impl Sink {
    pub(super) fn new(directory: &Path, name: &str, kind: Kind) -> Self {
        let ending = if kind == Kind::Journal {
            "jsonl"
        } else {
            "log"
        };
        Self {
            name: name.into(),
            path: directory.join(format!("{name}.{ending}")),
            kind,
            settings: Mutex::default(),
            incarnation: AtomicU32::new(0),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    pub(super) fn is_journal(&self) -> bool {
        self.kind == Kind::Journal
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        // Each setting is replaced as a whole.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limits(&self) -> Limits {
        self.settings().limits
    }

    pub(super) fn limit(&self, limits: Limits) {
        self.settings().limits = limits;
    }

    pub(super) fn set_failing(&self, error: Option<String>) {
        self.settings().failing = error;
    }

    pub(super) fn lives_as(&self, incarnation: u32) {
        self.incarnation.store(incarnation, Ordering::Relaxed);
    }

    /// Whether `cost` more bytes may wait; they count as waiting then.
    pub(super) fn admits(&self, cost: usize) -> bool {
        let queued = self.queued.fetch_add(cost, Ordering::Relaxed);
        let admitted = queued == 0 || queued + cost <= QUEUED_BYTES_MAX;
        if !admitted {
            self.taken(cost);
        }
        admitted
    }

    /// `cost` bytes wait no more.
    pub(super) fn taken(&self, cost: usize) {
        self.queued.fetch_sub(cost, Ordering::Relaxed);
    }

    /// `lines` were not admitted.
    pub(super) fn refused(&self, lines: u64) {
        self.count_dropped(lines);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// Says that `lines` are missing here, as a line of this log looks.
    pub(super) fn dropped_line(&self, lines: u64, why: &str) -> Vec<u8> {
        let ts = clock::utc(clock::now_ms());
        let text = format!("dropped {}: {why}", counted(lines, "line"));
        match self.kind {
            Kind::Child => {
                let mut records = Vec::new();
                let record = Record {
                    ts: ts.into(),
                    child: self.name().into(),
                    incarnation: self.incarnation.load(Ordering::Relaxed),
                    stream: Stream::Falco,
                    ..Record::default()
                };
                record.with_line(text.as_bytes()).write_to(&mut records);
                records
            }
            Kind::Own => {
                let fields = serde_json::json!({ "message": text });
                let line = serde_json::json!({"timestamp": ts, "level": "WARN", "fields": fields});
                format!("{line}\n").into_bytes()
            }
            Kind::Journal => writer::entry(Life::LogsDropped {
                log: self.name().to_owned(),
                lines,
            }),
        }
    }

    pub(super) fn usage(&self) -> LogUsage {
        let limits = self.limits();
        LogUsage {
            bytes: logfile::used(&self.path, limits),
            cap: limits.cap(),
            dropped: self.dropped.load(Ordering::Relaxed),
            trouble: self.settings().failing.clone(),
        }
    }
}
