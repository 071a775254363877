//! Files that are not where they were, because somebody moved, removed, replaced
//! or cut them while the journal was open.
//!
//! A write into such a file succeeds, and nobody ever reads it. So once a batch
//! is written, and before anybody is answered, it is looked whether the
//! directory, the lock and the segment that is written are still what their names
//! say; and before it is written if that was not done just now. Whether the segment
//! was cut is always looked at before: the write would make it long again.
//!
//! | what | then |
//! |---|---|
//! | the directory | nothing is taken until it is back: [`away`](super::away) |
//! | the lock | it is locked again, if nobody else has it |
//! | the segment that is written | what is needed of it is read through the open file, and stands in the next segment before anything else does |
//! | a segment before it | a person is told, until it is back |

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tracing::error;

use super::super::super::fold::Place;
use super::super::super::lines::Lines;
use super::super::super::record::{self, Frame, Kind, Payload};
use super::super::super::segment::Segment;
use super::super::super::storage::{Storage, StoredFile as _};
use super::super::active::Active;
use super::super::batch::Batch;
use super::super::compaction::Before;
use super::{Core, Mode, Now};
use crate::counted::counted;

/// How often it is looked while nothing is answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What could be read of a segment that is lost.
struct Rescued {
    /// Copies of what was durable in it.
    copies: Batch,
    /// What it followed, if nothing that is needed is missing.
    follows: Option<(u64, u32)>,
    /// Records that are needed and missing.
    lost: u64,
}

impl<S: Storage> Core<S> {
    /// Sees to it that what is written will be found.
    pub(super) fn look_around(&mut self, now: Now) {
        let is_away = matches!(self.mode, Mode::Astray { .. });
        let looked = self.looked_around;
        let is_new = looked.is_some_and(|at| now.at < at + LOOK_EVERY);
        if (self.active.is_none() && !is_away) || (is_new && !self.is_cut()) {
            return;
        }
        self.looked_around = Some(now.at);
        match self.storage.astray() {
            Some(why) => return self.leave_directory(why),
            None if is_away => self.come_home(),
            None => {}
        }
        if !self.is_segment_found() {
            self.leave_segment(now);
        }
    }

    /// Whether the segment that is written has become shorter.
    pub(super) fn is_cut(&self) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        active.file().bytes().is_ok_and(|bytes| bytes < active.end)
    }

    /// Whether what is written to will be found, if anything is.
    fn is_segment_found(&self) -> bool {
        let (Some(active), Some(segment)) = (&self.active, self.index.last()) else {
            return true;
        };
        !self.is_cut() && self.storage.is_at(active.file(), &segment.name())
    }

    /// The same of the directory, and its lock.
    pub(super) fn is_found(&mut self) -> bool {
        self.storage.astray().is_none() && self.is_segment_found()
    }

    /// Finds out whether those before it are still there.
    pub(super) fn look_at_sealed(&mut self) {
        let sealed = self.index.segments.iter().rev().skip(1);
        let mut needed = sealed.filter(|s| 0 < s.live && !s.is_astray).peekable();
        if needed.peek().is_none() {
            self.missing = None;
            return;
        }
        // A look that fails says nothing.
        let Ok(files) = self.storage.list("") else {
            return;
        };
        let files: HashMap<&str, u64> = files.iter().map(|f| (&*f.name, f.bytes)).collect();
        let is_missing = |segment: &&Segment| {
            let bytes = files.get(&*segment.name());
            bytes.is_none_or(|bytes| *bytes < segment.bytes)
        };
        let missing = needed.find(is_missing);
        let why = missing.map(|segment| gone(&self.storage.path(&segment.name()), segment.live));
        if let Some(why) = why.as_ref().filter(|_| self.missing.is_none()) {
            error!(%why, "A segment is not where it was.");
        }
        self.missing = why;
    }

    /// Goes on in another segment, with everything of this one that can be had.
    fn leave_segment(&mut self, now: Now) {
        self.tell_index();
        let (Some(active), Some(segment)) = (self.active.take(), self.index.segments.back()) else {
            return;
        };
        let segment = segment.clone();
        let Rescued {
            copies,
            follows,
            lost,
        } = self.rescue(&active, &segment, now);
        let why = told(&self.storage.path(&segment.name()), lost);
        error!(segment = %segment.name(), lost, "The segment that is written was moved, removed, replaced or cut; what is needed of it is written again.");
        self.note_error(&io::Error::other(&*why));
        self.degraded = Some(why);
        self.follows = follows;
        self.put_before_unsynced(copies);
        if let Some(segment) = self.index.segments.back_mut() {
            segment.is_astray = true;
            (segment.bytes, segment.done, segment.done_bytes) = (0, 0, 0);
        }
        self.nursery.forget(&self.storage);
        if let Err(error) = self.begin(now) {
            self.fail(&error.source, now);
            self.take_back();
        }
    }

    fn rescue(&mut self, active: &Active<S::File>, segment: &Segment, now: Now) -> Rescued {
        // It may be in the middle of one.
        let making = std::mem::take(&mut self.batch);
        let (mut found, mut follows) = (0, None);
        let mut lines = Lines::new(active.file());
        while let Ok(Some(line)) = lines.next() {
            let Some(frame) = record::frame(line.bytes, active.salt) else {
                continue;
            };
            let place = Place {
                segment: segment.id,
                offset: u32::try_from(line.offset).unwrap_or(u32::MAX),
                length: u32::try_from(line.bytes.len()).unwrap_or(u32::MAX),
            };
            found += u64::from(self.index.needed_at(frame.id, place).is_some());
            if frame.kind == Kind::Header {
                follows = follows.or(followed(line.bytes, &frame));
            } else if frame.q <= self.log.durable {
                self.copy_line((segment, Before::There), line.offset, line.bytes, now);
            }
        }
        let lost = segment.live.saturating_sub(found);
        Rescued {
            copies: std::mem::replace(&mut self.batch, making),
            follows: follows.filter(|_| lost == 0),
            lost,
        }
    }

    /// The next segment begins with them.
    fn put_before_unsynced(&mut self, mut copies: Batch) {
        self.unsynced_before += copies.written.len();
        copies.append(&mut self.unsynced);
        self.unsynced = copies;
    }
}

/// What a header says came before its segment.
fn followed(line: &[u8], frame: &Frame) -> Option<(u64, u32)> {
    match record::parse(line, frame)?.payload {
        Payload::Header {
            prev_last,
            prev_crc,
            ..
        } => Some((prev_last, prev_crc)),
        _ => None,
    }
}

fn gone(path: &Path, live: u64) -> Box<str> {
    let (path, records) = (path.display(), counted(live, "record"));
    format!("{path} was moved, removed or cut while it was in use; {records} that Falco needs stood in it: put it back").into()
}

fn told(path: &Path, lost: u64) -> Box<str> {
    let rest = match lost {
        0 => "all that was needed of it is written again, and nothing is lost".to_owned(),
        1 => "1 record that was needed is lost".to_owned(),
        lost => format!("{lost} records that were needed are lost"),
    };
    let path = path.display();
    format!("{path} was moved, removed, replaced or cut while it was written; {rest}").into()
}
