//! Making durable what was written, and what a disk that fails means.

use std::io;
use std::time::Duration;

use tracing::error;

use super::super::super::config::OnFailure;
use super::super::super::error::Unrecorded;
use super::super::super::segment::Segment;
use super::super::super::storage::Storage;
use super::super::batch::Change;
use super::super::space;
use super::segments::placed;
use super::{Core, Mode, Now};
use crate::clock;
use crate::failpoint::{self, Point};
use crate::report::Report;

/// How long a failed disk is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What memory holds of what was written.
#[derive(Debug, Clone, Copy)]
#[must_use = "else it is kept for ever"]
pub(super) enum Kept {
    /// It may have to be written again.
    Needed,
    /// It is durable.
    Durable,
}

impl<S: Storage> Core<S> {
    /// Makes durable what was written.
    pub(in super::super) fn sync(&mut self, now: Now) -> Result<(), Unrecorded> {
        let kept = self.sync_first(now)?;
        self.catch_up(kept);
        Ok(())
    }

    /// The same, but for what nobody waits for: see [`Self::catch_up`].
    pub(super) fn sync_first(&mut self, now: Now) -> Result<Kept, Unrecorded> {
        if self.unsynced.is_empty() && self.active.is_some() {
            return self.look_again(now).map(|()| Kept::Needed);
        }
        let Some(active) = &mut self.active else {
            if self.unsynced.is_empty() {
                return Ok(Kept::Needed);
            }
            return Err(self.refusal().unwrap_or(Unrecorded::Bypassed));
        };
        let (result, took) = active.sync();
        self.stats.syncs.record(took);
        self.pace.synced(took);
        match result {
            Ok(()) => {
                failpoint::reach(Point::JournalSynced);
                self.look_again(now)?;
                self.note_durable();
                Ok(Kept::Durable)
            }
            Err(error) => self.sync_failed(&error, now),
        }
    }

    /// A sync of the segment that is written failed.
    pub(super) fn sync_failed(&mut self, error: &io::Error, now: Now) -> Result<Kept, Unrecorded> {
        let path = self.storage.path(&self.active_name());
        let written_anew = self.poisoned(&placed("sync", &path, error), now);
        written_anew.map(|()| Kept::Needed)
    }

    /// Does what is left to do for what was written, once it was answered: tells the
    /// index of it, and lets go of it.
    pub(super) fn catch_up(&mut self, kept: Kept) {
        self.tell_index();
        if matches!(kept, Kept::Durable) {
            self.unsynced.clear();
        }
    }

    fn active_name(&self) -> String {
        let last = self.index.last();
        last.map_or_else(String::new, Segment::name)
    }

    /// A sync failed: nothing is known of the file's unsynced bytes, and
    /// another sync would only lie. They are still in memory.
    fn poisoned(&mut self, error: &io::Error, now: Now) -> Result<(), Unrecorded> {
        self.note_error(error);
        self.stats.poisoned += 1;
        error!(error = %Report(error), "A journal segment could not be synced; what it may have lost is written again.");
        self.active = None;
        self.log.next = self.log.durable + 1;
        self.log.crc = self.log.durable_crc;
        let Err(error) = self.begin(now) else {
            return self.look_again(now);
        };
        self.fail(&error.source, now);
        self.take_back();
        Err(self.failure())
    }

    /// Why the disk has not taken what may stand in a segment all the same: for
    /// want of room alone it would surely not.
    pub(super) fn failure(&self) -> Unrecorded {
        let refusal = self.refusal().filter(Unrecorded::may_come_back);
        refusal.unwrap_or(Unrecorded::Bypassed)
    }

    /// What is refused must not come back later. What was published and what
    /// was given up stays so, and is written as soon as that can be.
    pub(super) fn take_back(&mut self) {
        let before = self.unsynced_before.min(self.unsynced.written.len());
        let refused = self.unsynced.drop_from(before, Change::can_be_refused);
        for change in refused.iter().rev() {
            self.stats.unrecorded += u64::from(change.is_effect());
            self.index.take_back(change);
        }
    }

    /// The disk failed twice in a row, or is not there.
    pub(super) fn fail(&mut self, error: &io::Error, now: Now) {
        self.active = None;
        if let Some(why) = self.storage.astray() {
            return self.leave_directory(why);
        }
        match self.config.on_failure {
            OnFailure::Bypass => self.bypass(error, now),
            OnFailure::Exit => {
                let why = Report(error).to_string();
                error!(error = %why, "The journal has failed.");
                self.note_error(error);
                self.mode = Mode::Failed { why: why.into() };
            }
        }
    }

    pub(super) fn bypass(&mut self, error: &io::Error, now: Now) {
        if self.mode == Mode::Working {
            error!(error = %Report(error), "The journal cannot be written; effects are not recorded.");
        }
        self.note_error(error);
        let for_room = space::is_full(error);
        // Until the disk is looked at the next time.
        self.watch.is_low |= for_room;
        let mut why = Report(error).to_string();
        if space::is_too_long(error) {
            why = format!("{why}; {}", space::RAISE_LIMIT);
        }
        self.mode = Mode::Bypassed {
            why: why.into(),
            again_at: now.at + AGAIN_AFTER,
            for_room,
        };
    }

    pub(in super::super) fn note_error(&mut self, error: &io::Error) {
        self.stats.last_error = Some(Report(error).to_string().into());
        self.stats.last_error_ms = clock::now_ms();
    }
}
