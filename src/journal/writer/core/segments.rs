//! Which segment is written.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::super::clock::{self, Clock, SET_AFTER};
use super::super::super::quarantine;
use super::super::super::segment::{self, Segment};
use super::super::super::storage::{QUARANTINE, Storage};
use super::super::active::{Before, BeginError, Begun, HEADERS};
use super::super::space;
use super::{Core, Mode, Now};
use crate::failpoint::{self, Point};

/// Losses are counted again after this time, even where it looks as if nothing
/// has changed: a clock may be too coarse for two changes.
const RECOUNT_AFTER: Duration = Duration::from_secs(60);

impl<S: Storage> Core<S> {
    /// Sees to it that there is a segment to write to, if that can be.
    pub(super) fn prepare(&mut self, now: Now) {
        if self.watch.look(&self.storage, &self.config, now.at) {
            self.look_at_sealed();
            self.recount_losses(now);
        }
        self.look_around(now);
        match &self.mode {
            Mode::Failed { .. } | Mode::Astray { .. } => {}
            Mode::Bypassed {
                again_at, for_room, ..
            } if now.at < *again_at && (self.watch.is_low || !for_room) => {}
            _ if self.active.is_none() => self.resume(now),
            _ => self.rotate_if_due(now),
        }
    }

    /// Somebody may have seen to them. A listing that fails says nothing.
    fn recount_losses(&mut self, now: Now) {
        let changed = self.storage.changed(QUARANTINE);
        let is_counted = self
            .counted
            .is_some_and(|(when, at)| changed == Some(when) && now.at < at + RECOUNT_AFTER);
        if self.stats.quarantined == 0 || is_counted {
            return;
        }
        if let Ok(losses) = quarantine::losses(&self.storage) {
            self.stats.quarantined = losses + self.stats.untold;
            if self.stats.quarantined == 0 {
                // Whoever has removed the last of them has seen to them.
                self.damaged = None;
            }
            self.counted = changed.map(|when| (when, now.at));
        }
    }

    fn resume(&mut self, now: Now) {
        match self.begin(now) {
            Ok(()) => self.mode = Mode::Working,
            Err(BeginError { source, .. })
                if space::is_full(&source) || space::is_too_long(&source) =>
            {
                self.bypass(&source, now);
            }
            Err(error) => self.fail(&error.source, now),
        }
    }

    fn rotate_if_due(&mut self, now: Now) {
        let is_due = self.active.as_ref().is_some_and(|active| {
            self.config.segment_bytes_max <= active.end
                || self.config.segment_age_max <= now.at.saturating_duration_since(active.begun)
                || (self.clock.was_set(now)
                    && SET_AFTER <= now.at.saturating_duration_since(active.begun))
        });
        if is_due {
            // Else the old one can still be written.
            _ = self.rotate(now);
        }
    }

    /// Closes the segment that is written and begins the next; says why, if the
    /// old one is still the one that is written.
    pub(in super::super) fn rotate(&mut self, now: Now) -> io::Result<()> {
        let before = self.active.as_ref().map(|active| active.id);
        if self.sync(now).is_err() || self.active.as_ref().map(|a| a.id) != before {
            // There is none to close, or it was replaced just now.
            return Ok(());
        }
        let Err(BeginError { source, is_named }) = self.begin(now) else {
            return Ok(());
        };
        self.note_error(&source);
        if !is_named {
            return Err(source);
        }
        self.active = None;
        self.fail(&source, now);
        Ok(())
    }

    /// Begins a segment, with what is not durable in it.
    pub(super) fn begin(&mut self, now: Now) -> Result<(), BeginError> {
        self.tell_index();
        if let Some(why) = self.storage.astray() {
            return Err(io::Error::other(why).into());
        }
        let (last, crc) = self.follows.unwrap_or((self.log.next - 1, self.log.crc));
        let before = Before {
            first: self.log.next,
            last,
            crc,
            durable: self.log.durable,
        };
        // What goes with it was written by the clock there is.
        let is_alone = self.unsynced.is_empty();
        let clock = if is_alone {
            self.clock.set(now)
        } else {
            self.clock
        };
        let clocked = (clock.ms(now.boot), clock);
        let begin = |core: &mut Self| {
            let replay = &mut core.unsynced;
            core.nursery.begin(&core.storage, before, replay, clocked)
        };
        let mut begun = begin(self);
        if begun.as_ref().is_err_and(space::is_full) && self.make_room(now) {
            begun = begin(self);
        }
        let begun = begun.map_err(|error| {
            let path = self.storage.path(&segment::name(before.first));
            BeginError {
                source: placed("begin", &path, &error),
                // Of this try, or of one before it.
                is_named: self.nursery.has_leftovers(),
            }
        });
        let begun = begun?;
        self.set_clock(clock);
        self.begun(begun, now);
        Ok(())
    }

    /// What is written from now on is written by this clock.
    fn set_clock(&mut self, clock: Clock) {
        let by = clock.ahead_of(std::mem::replace(&mut self.clock, clock));
        for segment in &mut self.index.segments {
            segment.shift_ms = segment.shift_ms.saturating_add(by);
            segment.done_ms = clock::shifted(segment.done_ms, by);
        }
    }

    fn begun(&mut self, begun: Begun<S::File>, now: Now) {
        failpoint::reach(Point::SegmentBegun);
        let Begun {
            mut active,
            before,
            left,
        } = begun;
        for segment in left {
            self.add_segment(segment);
        }
        let first = before.first;
        self.follows = None;
        active.id = self.add_segment(Segment {
            first,
            bytes: active.end,
            salt: active.salt.value,
            ..Segment::default()
        });
        let base = active.end - self.unsynced.bytes.len() as u64;
        let ms = self.ms(now);
        let written = &mut self.unsynced.written;
        self.index.apply(written, active.id, base, ms);
        self.log.next = first + HEADERS + self.unsynced.len();
        self.log.crc = active.begun_crc;
        self.active = Some(active);
        self.note_durable();
        self.unsynced.clear();
    }

    fn add_segment(&mut self, mut segment: Segment) -> u32 {
        let segments = &mut self.index.segments;
        let id = segments.back().map_or(0, |last| last.id + 1);
        segment.id = id;
        segments.push_back(segment);
        id
    }

    /// All that was written is durable.
    pub(super) fn note_durable(&mut self) {
        self.log.durable = self.log.next - 1;
        self.log.durable_crc = self.log.crc;
    }

    /// Gives back what can be given back; whether that was anything.
    pub(super) fn make_room(&mut self, now: Now) -> bool {
        let had_reserve = self.watch.spend(&self.storage);
        self.drop_dead(now) || had_reserve
    }
}

/// The same error, saying what could not be done, and where.
pub(super) fn placed(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    let text = format!("failed to {doing} {}: {error}", path.display());
    io::Error::new(error.kind(), text)
}
