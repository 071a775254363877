//! What is told of the inbox: how much was taken, what waits, and for whom.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::behind::OTHERS_PATIENCE;
use super::calm::Shape;
use super::folder::Found;
use super::progress::Inode;
use crate::clock;
use crate::protocol::outbox::{HeldFile, InboxStatus, RejectedLine};

/// How long a line may be without its end before a person is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files that are named; people need not see more at once.
const NAMED_MAX: usize = 16;

/// Files that are looked at besides the others while they wait; more count as
/// the others do.
const HELD_MAX: usize = 16 * 1024;

/// The numbers, and the troubles; clones are one.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Tally(watch::Sender<InboxStatus>);

impl Default for Tally {
    fn default() -> Self {
        Self(watch::Sender::new(InboxStatus::default()))
    }
}

impl Tally {
    /// What there is to say now.
    pub(in crate::ingest) fn status(&self) -> InboxStatus {
        self.0.borrow().clone()
    }

    pub(super) fn count_taken(&self, lines: usize) {
        self.0.send_modify(|status| status.taken += lines as u64);
    }

    pub(super) fn count_rejected(&self, lines: usize, last: RejectedLine) {
        self.0.send_modify(|status| {
            status.rejected += lines as u64;
            status.last_rejected = Some(last);
        });
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.0.send_modify(|status| status.trouble = trouble);
    }

    pub(super) fn set_waiting(&self, files: usize, held: Vec<HeldFile>) {
        self.0.send_modify(|status| {
            status.waiting = files as u64;
            status.held = held;
        });
    }
}

/// Files that wait for whoever made them.
#[derive(Debug, Default)]
pub(super) struct Holds(HashMap<Inode, Hold>);

#[derive(Debug)]
struct Hold {
    file: String,
    why: Cow<'static, str>,
    /// How long the file was; longer, somebody is still at it.
    bytes: u64,
    /// How it was read last, if nobody had changed it for a while.
    calm: Option<Calm>,
    since: Instant,
    since_ms: u64,
    /// Since when the files behind it may wait for its last line.
    awaited: Option<Instant>,
    is_told: bool,
}

/// How a file looked for a while, and whether it may grow: then its last line
/// is read in another way.
#[derive(Debug, PartialEq, Eq)]
struct Calm {
    shape: Shape,
    is_appended: bool,
}

impl Calm {
    fn of(found: &Found) -> Self {
        Self {
            shape: found.shape,
            is_appended: found.is_appended(),
        }
    }
}

impl Hold {
    fn new(why: Cow<'static, str>, now: Instant) -> Self {
        Self {
            file: String::new(),
            why,
            bytes: 0,
            calm: None,
            since: now,
            since_ms: clock::now_ms(),
            awaited: None,
            is_told: false,
        }
    }
}

impl Holds {
    /// A file will not be read.
    pub(super) fn refuse(&mut self, found: &Found, why: &'static str) {
        let now = Instant::now();
        let hold = self.hold(found, why.into(), now);
        if !std::mem::replace(&mut hold.is_told, true) {
            let file = &hold.file;
            warn!(%file, why, "A file in the inbox is not read.");
        }
    }

    /// A file cannot be gone on with, while others can.
    pub(super) fn fail(&mut self, found: &Found, error: String) {
        let hold = self.hold(found, error.into(), Instant::now());
        if !std::mem::replace(&mut hold.is_told, true) {
            let (file, error) = (&hold.file, &hold.why);
            warn!(%file, %error, "A file in the inbox cannot be taken for now.");
        }
    }

    /// The last line of a file has no end yet. `is_calm` says whether nobody had
    /// changed it for a while when it was read: it may have been listed as such.
    pub(super) fn wait(&mut self, found: &Found, bytes: u64, is_calm: bool, now: Instant) {
        let hold = self.hold(found, "its last line has no newline".into(), now);
        if hold.bytes != bytes {
            *hold = Hold {
                file: std::mem::take(&mut hold.file),
                bytes,
                awaited: hold.awaited,
                ..Hold::new(std::mem::take(&mut hold.why), now)
            };
        }
        hold.calm = is_calm.then(|| Calm::of(found));
        if !found.is_appended() {
            hold.awaited.get_or_insert(now);
        }
        let is_late = PATIENCE <= now.saturating_duration_since(hold.since);
        if is_late && !std::mem::replace(&mut hold.is_told, true) {
            let file = &hold.file;
            warn!(%file, bytes, "The last line of a file in the inbox has no newline; it waits for one.");
        }
    }

    /// How long a file was whose last line had no end, if it was read when nobody
    /// had changed it for a while, and nobody has since: then there is nothing
    /// else to be read in it, however long that line is.
    pub(super) fn waits_still(&self, found: &Found) -> Option<u64> {
        let hold = self.0.get(&found.inode)?;
        let is_the_same = found.is_calm && hold.calm == Some(Calm::of(found));
        is_the_same.then_some(hold.bytes)
    }

    /// Whether the files behind a dropped one wait for its last line: only until it
    /// is known whether that needs no newline, or they have waited for long.
    pub(super) fn holds_up(&self, found: &Found, now: Instant) -> bool {
        let hold = self.0.get(&found.inode).filter(|hold| hold.calm.is_none());
        let awaited = hold.and_then(|hold| hold.awaited);
        let awaited = awaited.filter(|_| !found.is_appended());
        awaited.is_some_and(|since| now.saturating_duration_since(since) < OTHERS_PATIENCE)
    }

    fn hold(&mut self, found: &Found, why: Cow<'static, str>, now: Instant) -> &mut Hold {
        let new = Hold::new(why, now);
        let hold = match self.0.entry(found.inode) {
            Entry::Vacant(none) => none.insert(new),
            Entry::Occupied(held) => {
                let hold = held.into_mut();
                if hold.why != new.why {
                    *hold = new;
                }
                hold
            }
        };
        // It may have been renamed.
        hold.file = found.name.to_string_lossy().into_owned();
        hold
    }

    /// Nothing is wrong with it.
    pub(super) fn free(&mut self, inode: Inode) {
        self.0.remove(&inode);
    }

    /// The files.
    pub(super) fn inodes(&self) -> HashSet<Inode> {
        self.0.keys().copied().take(HELD_MAX).collect()
    }

    /// Only these files are there.
    pub(super) fn retain(&mut self, there: &HashSet<Inode>) {
        self.0.retain(|inode, _| there.contains(inode));
    }

    /// What a person should look at, by name.
    pub(super) fn told(&self) -> Vec<HeldFile> {
        let told = self.0.values().filter(|hold| hold.is_told);
        let mut told: Vec<HeldFile> = told
            .map(|hold| HeldFile {
                file: hold.file.clone(),
                why: hold.why.clone().into_owned(),
                since_ms: hold.since_ms,
            })
            .collect();
        told.sort_by(|one, other| one.file.cmp(&other.file));
        told.truncate(NAMED_MAX);
        told
    }
}

#[cfg(test)]
mod tests;
