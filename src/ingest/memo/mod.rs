//! Which batches were sent: what Falco needs after a crash of its own to send
//! them again as they were, and to know what was accepted. A message that went
//! out alone is a batch of one: in company the server would not know it again.
//!
//! Two files, written in turns: when one holds [`FILE_BYTES_MAX`], the other is
//! begun anew with what is still open. Whoever starts reads both, older first.
//! Nothing is ever synced: a crash of the program loses nothing of it, one of
//! the machine may cost copies, as any crash would without it. Damage is
//! skipped. A disk that takes no more only ends the writing, until it may take
//! some again.
//!
//! `record` has the format byte for byte. Times are of the clock that counts
//! since the machine's start, whose id is in the files' names.

#[cfg(fuzzing)]
pub mod fuzz;
mod record;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use crate::clock::BootTime;
use crate::delivery::{Admission, Done, Request, RequestId, digest, listed};
use crate::failpoint::{self, Point};
use crate::protocol::id::EffectId;

use record::{Noted, accepted, sent};

/// Two of them hold far more than can be unanswered at once: 65 536 effects.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a batch matters: as long as Ably knows it, and a little.
const KEPT: Duration = Duration::from_secs(150);

/// How long a disk that took nothing is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// An effect in a batch, as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub id: EffectId,
    pub key: Uuid,
}

/// A batch an earlier life has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub at: BootTime,
    pub entries: Vec<Entry>,
    pub is_accepted: bool,
}

impl Batch {
    /// What it was made of, in order.
    pub(super) fn keys(&self) -> Vec<Uuid> {
        self.entries.iter().map(|entry| entry.key).collect()
    }

    /// Tells that its effects are published.
    pub(super) fn tell<T>(&self, admission: &mut Admission<T>) {
        for entry in &self.entries {
            let done = Done {
                id: entry.id,
                known_by: entry.id.as_uuid(),
                fingerprint: 0,
            };
            admission.handle_done_elsewhere(&done, self.at);
        }
    }
}

/// Who may answer a batch: which way it went, by which request.
type Sending = (usize, RequestId);

/// See the module.
#[derive(Debug)]
pub(super) struct Memo {
    paths: [PathBuf; 2],
    /// Which of them is written; `None` after that has failed.
    file: Option<(usize, File)>,
    /// When it failed.
    failed_at: Option<BootTime>,
    written: usize,
    /// Records that wait for [`flush`](Self::flush).
    buffer: Vec<u8>,
    /// Sendings that were not answered, with their batch.
    open: HashMap<Sending, Uuid>,
    /// Batches that may be on their way, for the next file.
    unaccepted: HashMap<Uuid, Unaccepted>,
    /// When something was sent last.
    now: BootTime,
}

/// A batch that was sent, and its record.
#[derive(Debug)]
struct Unaccepted {
    at: BootTime,
    record: Vec<u8>,
}

impl Memo {
    /// Reads what was left in `dir` in this boot of the machine, newest last,
    /// and begins to write.
    pub(super) fn open(dir: &Path, boot_id: &str, now: BootTime) -> (Self, Vec<Batch>) {
        let path = |n: usize| dir.join(format!("batches-{boot_id}.{n}"));
        let paths = [path(0), path(1)];
        forget_other_boots(dir, &paths);
        let mut noted = Noted::default();
        for path in in_turn(&paths) {
            noted.read(&fs::read(path).unwrap_or_default());
        }
        let mut kept = noted.batches;
        kept.retain(|(_, batch)| now.since(batch.at) < KEPT);
        let mut memo = Self {
            paths,
            file: None,
            failed_at: None,
            written: 0,
            buffer: Vec::new(),
            open: HashMap::new(),
            unaccepted: HashMap::new(),
            now,
        };
        for (name, batch) in &kept {
            let record = sent(*name, batch.at, &batch.entries);
            memo.buffer.extend(&record);
            if batch.is_accepted {
                memo.buffer.extend(accepted(*name, batch.at));
            } else {
                let at = batch.at;
                memo.unaccepted.insert(*name, Unaccepted { at, record });
            }
        }
        let newest = in_turn(&memo.paths).last().copied().cloned();
        memo.begin(usize::from(newest.as_ref() == Some(&memo.paths[0])));
        memo.flush();
        (memo, kept.into_iter().map(|(_, batch)| batch).collect())
    }

    /// A request is about to be sent over the way with this number.
    pub(super) fn handle_sent(&mut self, way: usize, request: &Request<'_>, now: BootTime) {
        // A server knows no object set again, whatever it goes out with.
        let is_publish = matches!(request.effects[..], [first, ..] if first.operation.is_publish());
        self.now = now;
        if !is_publish || !self.is_writing() {
            return;
        }
        let effects = request.effects.iter();
        let entries: Vec<Entry> = effects
            .map(|effect| Entry {
                id: effect.id,
                key: listed(&effect.operation, &effect.key),
            })
            .collect();
        // Two ways may carry the same effects.
        let name = digest(&(way, &entries));
        self.open.insert((way, request.id), name);
        if self.unaccepted.contains_key(&name) {
            return;
        }
        let record = sent(name, now, &entries);
        self.buffer.extend(&record);
        self.unaccepted.insert(name, Unaccepted { at: now, record });
    }

    /// Whether there is a file to write to; begins one if it is time to try.
    fn is_writing(&mut self) -> bool {
        let is_due = |at: BootTime| AGAIN_AFTER <= self.now.since(at);
        if self.failed_at.is_some_and(is_due) {
            self.failed_at = None;
            self.begin(0);
        }
        self.file.is_some()
    }

    /// A request was accepted.
    pub(super) fn handle_accepted(&mut self, way: usize, id: RequestId, now: BootTime) {
        let Some(name) = self.open.remove(&(way, id)) else {
            return;
        };
        if self.unaccepted.remove(&name).is_some() {
            self.buffer.extend(accepted(name, now));
        }
    }

    /// A request was refused. If it goes out again, it is noted again.
    pub(super) fn handle_refused(&mut self, way: usize, id: RequestId) {
        if let Some(name) = self.open.remove(&(way, id)) {
            self.unaccepted.remove(&name);
        }
    }

    /// The way has lost its connection; what was sent over it is not answered.
    pub(super) fn handle_disconnected(&mut self, way: usize) {
        self.open.retain(|(of, _), _| *of != way);
    }

    /// Writes what has come up. To be called before anything of it can be seen
    /// outside.
    pub(super) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.written + self.buffer.len() > FILE_BYTES_MAX {
            self.turn();
        }
        let Some((_, file)) = &mut self.file else {
            self.buffer.clear();
            return;
        };
        let result = file.write_all(&self.buffer);
        self.written += self.buffer.len();
        self.buffer.clear();
        failpoint::reach(Point::MemoWritten);
        if let Err(error) = result {
            self.give_up(&error);
        }
    }

    /// Begins the other file with what is open.
    fn turn(&mut self) {
        let Some((current, _)) = self.file else {
            return;
        };
        self.begin(1 - current);
        self.forget_old();
        let open = self.unaccepted.values().map(|batch| &batch.record);
        let mut records: Vec<u8> = open.flatten().copied().collect();
        records.append(&mut self.buffer);
        self.buffer = records;
    }

    /// Forgets what Ably has forgotten, and more if it would fill the file.
    fn forget_old(&mut self) {
        let mut kept = KEPT;
        loop {
            let now = self.now;
            self.unaccepted
                .retain(|_, batch| now.since(batch.at) < kept);
            let records = self.unaccepted.values().map(|batch| batch.record.len());
            if records.sum::<usize>() <= FILE_BYTES_MAX / 2 {
                return;
            }
            kept /= 2;
        }
    }

    fn begin(&mut self, which: usize) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        match options.open(&self.paths[which]) {
            Ok(file) => self.file = Some((which, file)),
            Err(error) => self.give_up(&error),
        }
        self.written = 0;
    }

    /// Without it Falco delivers as well, with more copies after a crash.
    fn give_up(&mut self, error: &io::Error) {
        warn!(path = %self.paths[0].display(), %error,
            "Sent batches cannot be noted; after a crash of Falco some may be seen twice.");
        self.file = None;
        self.failed_at = Some(self.now);
        self.open = HashMap::new();
        self.unaccepted = HashMap::new();
    }
}

/// The files that are there, older first.
fn in_turn(paths: &[PathBuf; 2]) -> Vec<&PathBuf> {
    let age = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let mut there: Vec<_> = paths.iter().filter_map(|p| Some((age(p)?, p))).collect();
    there.sort();
    there.into_iter().map(|(_, path)| path).collect()
}

/// Removes what earlier boots of the machine have left: their times mean
/// nothing now, and Ably has forgotten what they tell of.
fn forget_other_boots(dir: &Path, ours: &[PathBuf; 2]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_memo = name.to_string_lossy().starts_with("batches-");
        if is_memo && !ours.contains(&entry.path()) {
            _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
