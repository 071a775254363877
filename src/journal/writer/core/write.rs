//! A batch on its way to the segment, and elsewhere if that does not take it.

use std::io;

use tracing::{error, warn};

use super::super::super::error::Unrecorded;
use super::super::super::storage::Storage;
use super::super::active::{Active, WriteError};
use super::super::batch::Change;
use super::super::behind::Pending;
use super::super::space;
use super::{Core, Mode, Now};
use crate::clock;
use crate::failpoint::{self, Point};
use crate::report::Report;

/// What became of a batch: its effects may be refused, and the notes that speak
/// of them, while the rest stands.
#[derive(Debug, Clone)]
pub(in super::super) struct Fate {
    effects: Result<(), Unrecorded>,
    rest: Result<(), Unrecorded>,
}

impl Fate {
    pub(super) const RECORDED: Self = Self {
        effects: Ok(()),
        rest: Ok(()),
    };

    fn refused(why: &Unrecorded) -> Self {
        Self {
            effects: Err(why.clone()),
            rest: Err(why.clone()),
        }
    }

    /// The same, if `then` went well.
    pub(super) fn and(&self, then: &Result<(), Unrecorded>) -> Self {
        Self {
            effects: self.effects.clone().and(then.clone()),
            rest: self.rest.clone().and(then.clone()),
        }
    }

    /// Whether nothing of it was refused.
    pub(super) fn is_recorded(&self) -> bool {
        self.effects.is_ok() && self.rest.is_ok()
    }

    /// Of an append with effects, or of one without.
    pub(super) fn of(&self, has_effects: bool) -> Result<(), Unrecorded> {
        if has_effects {
            self.rest.clone().and(self.effects.clone())
        } else {
            self.rest.clone()
        }
    }

    /// Of all of it.
    pub(in super::super) fn whole(self) -> Result<(), Unrecorded> {
        self.rest.and(self.effects)
    }
}

impl<S: Storage> Core<S> {
    /// Writes the batch.
    pub(in super::super) fn write(&mut self, now: Now) -> Fate {
        let fate = self.write_first(now);
        self.tell_index();
        fate
    }

    /// The same; the index may be told later.
    pub(super) fn write_first(&mut self, now: Now) -> Fate {
        self.unsynced_before = self.unsynced.written.len();
        if self.batch.is_empty() {
            return Fate::RECORDED;
        }
        let Some(active) = &mut self.active else {
            return Fate::refused(&self.refusal().unwrap_or(Unrecorded::Bypassed));
        };
        match active.write(&self.batch.bytes) {
            Ok(()) => {
                failpoint::reach(Point::JournalWritten);
                if self.batch.has_settled() {
                    failpoint::reach(Point::DoneWritten);
                }
                if self.batch.has_decisions() {
                    failpoint::reach(Point::DecisionWritten);
                }
                self.written(now);
                Fate::RECORDED
            }
            Err(error) if self.is_under_way() => self.write_after_rest(&error, now),
            Err(error) => self.write_otherwise(&error, now),
        }
    }

    /// The same of what could not be written; nothing is under way.
    fn write_otherwise(&mut self, error: &WriteError, now: Now) -> Fate {
        if error.is_whole && space::is_full(&error.source) {
            self.write_without_room(&error.source, now)
        } else if error.is_whole && space::is_too_long(&error.source) {
            self.write_in_next(&error.source, now)
        } else {
            self.write_elsewhere(error, now)
        }
    }

    /// The same of what could not be written while something is under way: that comes
    /// first, and may have begun another segment, or found that there is none.
    fn write_after_rest(&mut self, error: &WriteError, now: Now) -> Fate {
        let segment = |core: &Self| core.active.as_ref().map(|active| active.id);
        let before = segment(self);
        self.come_to_rest(now);
        match segment(self) {
            None => self.write_nowhere(now),
            after if after == before => self.write_otherwise(error, now),
            Some(_) => match self.rewrite(now) {
                Ok(()) => Fate::RECORDED,
                Err(error) => self.write_otherwise(&error, now),
            },
        }
    }

    /// Tells the index of what was written last.
    pub(super) fn tell_index(&mut self) {
        self.index.tell(&mut self.unsynced);
    }

    /// The batch stands in the active segment.
    fn written(&mut self, now: Now) {
        let Some(active) = &self.active else { return };
        let bytes = self.batch.bytes.len();
        let base = active.end - bytes as u64;
        let (id, end) = (active.id, active.end);
        self.has_fitted(bytes);
        let ms = self.ms(now);
        // It follows what is not synced.
        self.index.note(Pending {
            from: self.unsynced.written.len(),
            segment: id,
            base: base.wrapping_sub(self.unsynced.bytes.len() as u64),
            end,
            now_ms: ms,
        });
        self.log.next += self.batch.len();
        self.log.crc = self.batch.last_crc();
        self.stats.records += self.batch.len();
        self.stats.batches += 1;
        if self.unsynced.is_empty() {
            self.dirty_since = now.at;
            std::mem::swap(&mut self.unsynced, &mut self.batch);
        } else {
            self.unsynced.append(&mut self.batch);
        }
        self.batch.clear();
    }

    /// The disk is full: the reserve is for what settles effects.
    fn write_without_room(&mut self, error: &io::Error, now: Now) -> Fate {
        self.note_error(error);
        warn!(error = %Report(error), "The journal's disk is full; no effect is taken.");
        if self.make_room(now) && self.rewrite(now).is_ok() {
            return Fate::RECORDED;
        }
        self.write_without_effects(Unrecorded::DiskLow, now)
    }

    /// The segment may not become longer: the next one can take as much as it
    /// could.
    fn write_in_next(&mut self, error: &io::Error, now: Now) -> Fate {
        let has_records = self.active.as_ref().is_some_and(Active::has_records);
        if !has_records || self.mode != Mode::Working {
            return self.refuse_too_long(error, now);
        }
        if self.watch.tell_limit(error) {
            self.note_error(error);
        }
        if let Err(error) = self.rotate(now) {
            // The old one stays, and takes no more.
            return if space::is_full(&error) {
                self.write_without_room(&error, now)
            } else {
                self.write_nowhere(now)
            };
        }
        if self.active.is_none() {
            return self.write_nowhere(now);
        }
        match self.rewrite(now) {
            Ok(()) => Fate::RECORDED,
            Err(error) if error.is_whole && space::is_too_long(&error.source) => {
                self.refuse_too_long(&error.source, now)
            }
            Err(error) if error.is_whole && space::is_full(&error.source) => {
                self.write_without_room(&error.source, now)
            }
            Err(error) => self.write_elsewhere(&error, now),
        }
    }

    /// It fits in no segment. That is no passing trouble: somebody set the limit,
    /// and has to know.
    fn refuse_too_long(&mut self, error: &io::Error, now: Now) -> Fate {
        self.note_error(error);
        let has_effects = self.batch.written.iter().any(|w| w.change.is_effect());
        if has_effects {
            if self.limited.is_none() {
                error!(error = %Report(error), "The journal's files may not become long enough; effects that do not fit are refused.");
            }
            self.too_long = self.too_long.min(self.batch.bytes.len());
            let (last, raise) = (clock::utc(now.ms), space::RAISE_LIMIT);
            let why = format!(
                "files may not become long enough for what came together, last at {last}: {raise}"
            );
            self.limited = Some(why.into());
        }
        self.write_without_effects(Unrecorded::FileLimit, now)
    }

    /// So much was written in one go. If as much did not fit before, files may become
    /// longer by now.
    fn has_fitted(&mut self, bytes: usize) {
        if self.too_long <= bytes {
            self.limited = None;
            self.too_long = usize::MAX;
        }
    }

    /// Writes what settles effects, and refuses the effects.
    fn write_without_effects(&mut self, why: Unrecorded, now: Now) -> Fate {
        let has_effects = self.refuse_effects();
        if !self.batch.is_empty() && self.rewrite(now).is_err() {
            self.owe_batch();
            return Fate::refused(&why);
        }
        Fate {
            effects: if has_effects { Err(why) } else { Ok(()) },
            rest: Ok(()),
        }
    }

    /// Takes the effects out of the batch, and what speaks of them; whether
    /// there was any.
    fn refuse_effects(&mut self) -> bool {
        let refused = self.batch.drop_from(0, Change::is_about_effects);
        let effects = refused.iter().filter(|change| change.is_effect());
        self.stats.unrecorded += effects.count() as u64;
        !refused.is_empty()
    }

    /// Writes the batch with the numbers that are next.
    fn rewrite(&mut self, now: Now) -> Result<(), WriteError> {
        // What was written before may stand in another segment by now, and be synced.
        self.unsynced_before = self.unsynced.written.len();
        let stamp = self.stamp(now);
        self.batch.restamp(stamp.salt, stamp.first);
        if let Some(active) = &mut self.active {
            active.write(&self.batch.bytes)?;
            self.written(now);
        }
        Ok(())
    }

    /// Remembers what the batch says was published, and drops it.
    fn owe_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for written in batch.written {
            if let Change::Settle(settled) = written.change {
                for settled in settled {
                    self.owe_one(settled);
                }
            }
        }
    }

    /// The segment cannot be written any more, but what it holds is good.
    fn write_elsewhere(&mut self, error: &WriteError, now: Now) -> Fate {
        self.note_error(&error.source);
        warn!(error = %Report(&error.source), "The journal cannot write its segment; it begins another.");
        let synced = self.sync(now);
        if synced.is_ok() {
            self.active = None;
            if let Err(error) = self.begin(now) {
                self.fail(&error.source, now);
            }
        }
        if self.active.is_some() && self.rewrite(now).is_ok() {
            return Fate::RECORDED;
        }
        self.write_nowhere(now)
    }

    /// There is no segment that takes it.
    fn write_nowhere(&mut self, now: Now) -> Fate {
        self.active = None;
        self.refuse_effects();
        self.owe_batch();
        if self.mode == Mode::Working {
            self.fail(
                &io::Error::other("the next segment cannot be written either"),
                now,
            );
        }
        Fate::refused(&self.failure())
    }
}
