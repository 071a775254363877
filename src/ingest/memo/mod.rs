//! What Falco needs after a crash of its own to show subscribers nothing twice:
//! which batches were sent, and what was published.
//!
//! A batch has to go out again as it was, or the server would not know it again;
//! a message that went out alone is a batch of one. What was published must not
//! go out at all, whatever it goes by when it comes again: its id, or the key it
//! is known by, so that is noted too ([`Done`]). Of what an outbox keeps, the
//! journal notes that, a moment later or once its disk takes it; until then it
//! is known from here ([`Published`]).
//!
//! Two files, written in turns: when one holds [`FILE_BYTES_MAX`], the other is
//! begun anew with what is still open. Whoever starts reads both and goes on in
//! the newer. They have all their room from the start, so that a disk that is
//! full later takes what is noted all the same; without that room nothing is
//! written, and none is kept, until it can be had; why not is told once. Nothing is ever synced: a crash of the program
//! loses nothing of it, one of the machine may cost copies, as any crash would
//! without it. Damage is skipped.
//!
//! It is written by the thread that delivers, before anything of it can be seen
//! outside: a thread of its own would cost every ack two changes of threads. So a
//! disk that hangs (a frozen filesystem, a mount whose server is gone) holds up all
//! of Falco, also what it promises to answer in bounded time: a write cannot be
//! taken back, nobody knows before whether it will end, and memory that is mapped
//! from a file waits as well. Nothing is lost or overtaken by that, and all goes on
//! once the disk answers. Until then the supervisor says so ([`Writing`]).
//!
//! `record` has the format byte for byte, `files` has the files, and `reading`
//! reads them, no further than they are written. Times are of the clock that
//! counts since the machine's start, whose id is in the files' names.

mod files;
#[cfg(fuzzing)]
pub mod fuzz;
mod left;
mod noted;
mod reading;
mod record;
mod writing;

use std::io;
use std::time::Duration;

use hashbrown::HashMap;
use tracing::{info, warn};
use uuid::Uuid;

use super::MemoPlace;
use crate::clock::BootTime;
use crate::delivery::{Done, Request, RequestId, digest, listed};
use crate::failpoint::{self, Point};
use crate::plain_file;

use files::Files;
use left::Entry;
pub(super) use left::{Left, Published};
use record::sent;
pub(super) use writing::Writing;

/// One of them holds what can be unanswered at once, 65 536 effects, in batches
/// of two and more; in any case the last 47 000, if none had to go out again.
pub(super) const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Memory that is kept for what is noted next, of each kind.
const READY_BYTES: usize = 64 * 1024;

/// How long a batch matters: as long as Ably knows it, and a little.
const KEPT: Duration = Duration::from_secs(150);

/// A batch that still goes out when it was noted so long ago is noted anew: what
/// is left of [`KEPT`] is as long as Ably knows what went out last.
const NOTED_FOR: Duration = Duration::from_secs(30);

/// How long a disk that took nothing is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Who may answer a batch: which way it went, by which request.
type Sending = (usize, RequestId);

/// See the module.
#[derive(Debug)]
pub(super) struct Memo {
    files: Files,
    file_bytes_max: usize,
    /// When they could not be written.
    failed_at: Option<BootTime>,
    /// What was told of that, until they are written again.
    told: Option<String>,
    /// Records that wait for [`flush`](Self::flush).
    buffer: Vec<u8>,
    /// What is written then; between two of them it is empty.
    records: Vec<u8>,
    /// What was published since, and will be a record then.
    done: Vec<Done>,
    /// The same of what the outbox keeps.
    published: Vec<Published>,
    /// Sendings that were not answered, with their batch, and since when.
    open: HashMap<Sending, (Uuid, BootTime)>,
    /// Batches that may be on their way, for the next file.
    unaccepted: HashMap<Uuid, Unaccepted>,
    /// When something was noted last.
    now: BootTime,
    /// When what is old was forgotten last.
    forgot_at: BootTime,
}

/// A batch that was sent, and its record.
#[derive(Debug)]
struct Unaccepted {
    at: BootTime,
    record: Vec<u8>,
    /// By which sending it went out last; unless that was in an earlier life.
    by: Option<RequestId>,
    /// It went out before that, and nobody knows what became of it then.
    is_doubtful: bool,
}

impl Memo {
    /// Reads what was left at `place` in this boot of the machine, and goes on.
    pub(super) fn open(place: &MemoPlace, now: BootTime) -> (Self, Left) {
        let (files, noted) = Files::read(place);
        let mut memo = Self {
            files,
            file_bytes_max: place.file_bytes_max,
            failed_at: None,
            told: None,
            buffer: Vec::new(),
            records: Vec::new(),
            done: Vec::new(),
            published: Vec::new(),
            open: HashMap::new(),
            unaccepted: HashMap::new(),
            now,
            forgot_at: now,
        };
        let mut batches = noted.batches;
        batches.retain(|(_, batch)| now.since(batch.at) < KEPT);
        // Where it went out again does not show in where it was noted first.
        batches.sort_by_key(|(_, batch)| batch.at);
        for (name, batch) in batches.iter().filter(|(_, batch)| !batch.is_accepted) {
            let (at, record) = (batch.at, sent(*name, batch.at, &batch.entries));
            let unaccepted = Unaccepted {
                at,
                record,
                by: None,
                is_doubtful: true,
            };
            memo.unaccepted.insert(*name, unaccepted);
        }
        if !memo.files.is_open() {
            memo.turn();
        }
        let left = Left {
            batches: batches.into_iter().map(|(_, batch)| batch).collect(),
            done: noted.done,
            published: noted.published,
        };
        (memo, left)
    }

    /// Tells another thread of a disk that hangs.
    pub(super) fn writing(&self) -> Writing {
        self.files.writing()
    }

    /// A request is about to be sent over the way with this number.
    pub(super) fn handle_sent(&mut self, way: usize, request: &Request<'_>, now: BootTime) {
        // A server knows no object set again, whatever it goes out with.
        let is_publish = matches!(request.effects[..], [first, ..] if first.operation.is_publish());
        self.now = now;
        if !is_publish || !self.is_writing() {
            return;
        }
        if KEPT <= now.since(self.forgot_at) {
            self.forget_old();
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
        self.open.insert((way, request.id), (name, now));
        let by = Some(request.id);
        let before = self.unaccepted.get_mut(&name);
        let is_doubtful = before.is_some();
        if let Some(unaccepted) = before.filter(|before| now.since(before.at) < NOTED_FOR) {
            (unaccepted.by, unaccepted.is_doubtful) = (by, true);
            return;
        }
        let record = sent(name, now, &entries);
        self.buffer.extend(&record);
        let unaccepted = Unaccepted {
            at: now,
            record,
            by,
            is_doubtful,
        };
        self.unaccepted.insert(name, unaccepted);
    }

    /// Whether there is a file to write to; begins one if it is time to try.
    fn is_writing(&mut self) -> bool {
        let is_due = |at: BootTime| AGAIN_AFTER <= self.now.since(at);
        if self.failed_at.is_some_and(is_due) {
            self.failed_at = None;
            self.turn();
        }
        self.files.is_open()
    }

    /// A request was accepted.
    pub(super) fn handle_accepted(&mut self, way: usize, id: RequestId, now: BootTime) {
        let Some((name, _)) = self.open.remove(&(way, id)) else {
            return;
        };
        if self.unaccepted.remove(&name).is_some() {
            record::accepted(&mut self.buffer, name, now);
        }
    }

    /// A request was refused. If it goes out again, it is noted again; if it has
    /// by now, the refusal is late and says nothing of that. Nor does it of a time
    /// before.
    pub(super) fn handle_refused(&mut self, way: usize, id: RequestId) {
        let Some((name, _)) = self.open.remove(&(way, id)) else {
            return;
        };
        let sent = self.unaccepted.get(&name);
        if sent.is_some_and(|sent| sent.by == Some(id) && !sent.is_doubtful) {
            self.unaccepted.remove(&name);
        }
    }

    /// An effect that nobody else notes is published.
    pub(super) fn handle_done(&mut self, done: Done, now: BootTime) {
        self.now = now;
        if self.is_writing() {
            self.done.push(done);
        }
    }

    /// An effect of the outbox is published.
    pub(super) fn handle_published(&mut self, published: Published, now: BootTime) {
        self.now = now;
        if self.is_writing() {
            self.published.push(published);
        }
    }

    /// The way has lost its connection; what was sent over it is not answered.
    pub(super) fn handle_disconnected(&mut self, way: usize) {
        self.open.retain(|(of, _), _| *of != way);
    }

    /// Writes what has come up. To be called before anything of it can be seen
    /// outside.
    pub(super) fn flush(&mut self) {
        // Of a batch that was accepted only the ids are known: if this is cut
        // short, what tells more of them is there.
        record::done(&mut self.records, self.now, &self.done);
        record::published(&mut self.records, self.now, &self.published);
        self.records.extend_from_slice(&self.buffer);
        if self.records.is_empty() {
            return;
        }
        if self.files.with(self.records.len()) > self.file_bytes_max {
            self.turn();
        }
        let result = self.files.append(&mut self.records, self.now);
        failpoint::reach(Point::MemoWritten);
        match result {
            Ok(()) => self.tell_end(),
            Err(error) => self.give_up(&error),
        }
        empty(&mut self.done);
        empty(&mut self.published);
        empty(&mut self.buffer);
        empty(&mut self.records);
    }

    /// Begins a file with what is open, newest last.
    fn turn(&mut self) {
        self.forget_old();
        let open = self.unaccepted.iter();
        let mut open: Vec<_> = open.map(|(name, b)| (b.at, name, &b.record)).collect();
        open.sort_unstable();
        let records = open.into_iter().flat_map(|(.., record)| record);
        let records: Vec<u8> = records.copied().collect();
        if let Err(error) = self.files.begin(records, self.now) {
            self.give_up(&error);
        }
    }

    /// Forgets what Ably has forgotten, and more if it would fill the file; and
    /// who might have answered it: a silent server answers nobody.
    fn forget_old(&mut self) {
        self.forgot_at = self.now;
        let mut kept = KEPT;
        loop {
            let now = self.now;
            self.unaccepted
                .retain(|_, batch| now.since(batch.at) < kept);
            let records = self.unaccepted.values().map(|batch| batch.record.len());
            if records.sum::<usize>() <= self.file_bytes_max / 2 {
                break;
            }
            kept /= 2;
        }
        let (now, known) = (self.now, &self.unaccepted);
        self.open
            .retain(|_, (name, at)| now.since(*at) < KEPT && known.contains_key(name));
    }

    /// Without it Falco delivers as well, with more copies after a crash.
    fn give_up(&mut self, error: &io::Error) {
        self.tell(error);
        self.files.close();
        self.failed_at = Some(self.now);
        self.open = HashMap::new();
        self.unaccepted = HashMap::new();
    }

    /// Says what is wrong and what to do, unless it was said before; returns
    /// whether it was not.
    fn tell(&mut self, error: &io::Error) -> bool {
        let is_new = self.told.replace(error.to_string()) != Some(error.to_string());
        if is_new {
            let advice = advice(error);
            warn!(path = %self.files.path().display(), %error, advice,
                "Sent batches cannot be noted; after a crash of Falco some may be seen twice.");
        }
        is_new
    }

    /// Says that it is over, if it is.
    fn tell_end(&mut self) {
        if self.files.is_open() && self.told.take().is_some() {
            info!(path = %self.files.path().display(), "Sent batches are noted again.");
        }
    }
}

/// What a person can do.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if plain_file::is_too_long(error) => plain_file::RAISE_LIMIT,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on its disk, 16 MiB at least; it is tried again"
        }
        _ => "it is tried again",
    }
}

/// Keeps [`READY_BYTES`] of its room.
fn empty<T>(ready: &mut Vec<T>) {
    ready.clear();
    ready.shrink_to(READY_BYTES / size_of::<T>());
}

#[cfg(test)]
mod tests;
