//! Giving space back: segments nobody needs go, oldest first.
//!
//! A segment is needed as long as it holds the record of something that is not
//! settled, or ids settled within the dedupe horizon. It goes only when all
//! older ones are gone: so numbers stay without a gap, and no id outlives the
//! record that settled it.
//!
//! An old segment with little left in it is emptied first, where `worth` finds
//! it worth it: what is needed is copied to the active one, in pieces, so that
//! nobody waits for it. The source goes when the copies are durable; a crash in
//! between leaves copies that fold into one. Until then nothing goes at all,
//! however full the disk is. What fills a full journal and is settled goes so
//! too, also from the segment that is written. Before that, ids give way.
//!
//! A disk that is nearly full is one more reason to: less is worth it then, also what
//! stands in the one segment that is written.
//!
//! While appends come thick the pieces wait for a pause ([`pauses`]).

mod asked;
mod copying;
mod pauses;

use std::io;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::super::storage::Storage;
use super::core::{Core, Mode};
use super::now::Now;
use super::worth::Worth;
use crate::failpoint::{self, Point};
pub(super) use copying::Before;

/// The pause after a chunk: 16 MiB a second.
const PAUSE: Duration = Duration::from_micros(15_625);

/// The pause after a chunk of a journal that is nearly full.
const SHORT_PAUSE: Duration = Duration::from_millis(4);

/// The pause after the disk failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Where emptying a segment has come to.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    source: Option<Source>,
    /// Segments up to this one were asked to be emptied.
    forced_to: Option<u32>,
    /// A segment that could not be emptied.
    stuck: Option<Stuck>,
    /// Whether most of the journal's size is used.
    is_large: bool,
    /// Segments up to this one wait for no pause: an operator asked.
    at_once_to: Option<u32>,
    /// The end of the pause since the last append.
    quiet_at: Option<Instant>,
    /// That is waited for.
    is_waiting: bool,
}

#[derive(Debug)]
struct Stuck {
    id: u32,
    /// When it is tried again, if it was the disk that failed.
    again_at: Option<Instant>,
}

#[derive(Debug)]
struct Source {
    id: u32,
    offset: u64,
    again_at: Instant,
}

impl<S: Storage> Core<S> {
    /// Removes what nobody needs, and copies a piece if there is one to copy.
    pub(super) fn maintain(&mut self, now: Now) {
        if let Mode::Astray { .. } = self.mode {
            self.compaction.source = None;
            return;
        }
        self.drop_dead(now);
        self.warn_of_size(now);
        if self.mode != Mode::Working {
            self.compaction.source = None;
            return;
        }
        // What was not begun may have waited long.
        let source = self.compaction.source.as_ref();
        if source.is_none_or(|source| source.offset == 0) {
            self.seal_if_hollow(now);
            self.compaction.source = self.choose(now);
        }
        if self.compaction_due().is_some_and(|due| due <= now.at) {
            self.step(now);
        }
        self.compaction.is_waiting = self.waits(now);
    }

    /// What fills a journal, or its disk, may stand in the segment that is written.
    fn seal_if_hollow(&mut self, now: Now) {
        let active = self.index.segments.back().filter(|_| self.active.is_some());
        let worth = self.worth(now);
        if active.is_some_and(|active| worth.frees_full(active) || worth.frees_low(active)) {
            _ = self.rotate(now);
        }
    }

    pub(super) fn worth(&self, now: Now) -> Worth<'_> {
        let worth = Worth::new(&self.index.segments, &self.config, self.ms(now));
        let worth = worth.on_disk(self.watch.is_low);
        worth.asked(self.compaction.forced_to)
    }

    /// Says once that the journal is nearly full.
    fn warn_of_size(&mut self, now: Now) {
        let (bytes, bytes_max) = (self.index.bytes(), self.config.bytes_max);
        let is_large = self.worth(now).is_large();
        if is_large && !self.compaction.is_large {
            warn!(
                bytes,
                bytes_max, "The journal is nearly full; when it is, no effect is taken."
            );
        }
        self.compaction.is_large = is_large;
    }

    /// The segments that are written no more.
    fn sealed(&self) -> usize {
        let active = usize::from(self.active.is_some());
        self.index.segments.len().saturating_sub(active)
    }

    /// Removes the oldest segments as long as they are not needed.
    pub(super) fn drop_dead(&mut self, now: Now) -> bool {
        if self.unsynced.supersedes() {
            // The index knows the copies only; the disk may have none of them.
            return false;
        }
        let mut dropped = false;
        while 0 < self.sealed() && self.is_dead(now) {
            let name = self.index.segments[0].name();
            if self.index.segments[0].is_astray {
                // What is there under its name now is not ours.
                self.index.segments.pop_front();
                dropped = true;
                continue;
            }
            let removed = match self.storage.remove(&name) {
                // Its folder could not be synced when it was removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
            // In this order on the disk too, or a crash could leave a gap.
            if let Err(error) = removed.and_then(|()| self.storage.sync_folder("")) {
                self.note_error(&error);
                return dropped;
            }
            failpoint::reach(Point::SegmentRemoved);
            debug!(segment = %name, "A journal segment was no longer needed.");
            self.index.segments.pop_front();
            dropped = true;
        }
        dropped
    }

    fn is_dead(&self, now: Now) -> bool {
        let front = &self.index.segments[0];
        // What nothing else tells of stays until a start has kept it aside.
        front.live == 0 && !front.is_unkept && !self.worth(now).is_remembered(front)
    }

    /// The oldest segment, if emptying it is worth it and there is room.
    fn choose(&self, now: Now) -> Option<Source> {
        let sealed = self.sealed();
        let front = self.index.segments.front().filter(|_| 0 < sealed)?;
        if front.is_unkept {
            return None;
        }
        let is_stuck = |stuck: &Stuck| {
            stuck.id == front.id && stuck.again_at.is_none_or(|again_at| now.at < again_at)
        };
        if self.compaction.stuck.as_ref().is_some_and(is_stuck) {
            return None;
        }
        let copied = self.worth(now).needed(front);
        let has_room = 2 * copied <= self.watch.space.free;
        let is_worth_it = self.worth(now).is_worth_it(front, sealed);
        (has_room && is_worth_it).then_some(Source {
            id: front.id,
            offset: 0,
            again_at: now.at,
        })
    }

    /// Copies what is needed of the next piece of the source.
    fn step(&mut self, now: Now) {
        let Some(mut source) = self.compaction.source.take() else {
            return;
        };
        let result = self.copy_piece(&mut source, now);
        match result {
            Ok(true) => {
                let is_large = self.worth(now).is_large();
                source.again_at = now.at + if is_large { SHORT_PAUSE } else { PAUSE };
                self.compaction.source = Some(source);
            }
            Ok(false) => self.emptied(source.id, now),
            Err(error) => {
                warn!(%error, "A journal segment cannot be emptied now; it is tried again.");
                self.note_error(&error);
                let again_at = Some(now.at + AGAIN_AFTER);
                self.compaction.stuck = Some(Stuck {
                    id: source.id,
                    again_at,
                });
            }
        }
    }

    /// All of it was copied, and the copies are durable.
    fn emptied(&mut self, id: u32, now: Now) {
        // It is gone already if nothing in it was remembered.
        if let Some(segment) = self.index.segment(id) {
            if 0 < segment.live {
                // Records that stand where no line begins; they stay there.
                let again_at = None;
                self.compaction.stuck = Some(Stuck { id, again_at });
                return;
            }
            (segment.done, segment.done_bytes) = (0, 0);
        }
        self.stats.compactions += 1;
        self.drop_dead(now);
        // Whoever looks in between sees that there is more to do.
        self.compaction.source = self.choose(now);
    }
}
