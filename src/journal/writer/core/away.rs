//! A directory that is not at its path, because somebody moved, removed or
//! replaced it while the journal was open.
//!
//! What is written into it nobody finds, so nothing is taken any more, and no
//! answer is given for what was just written: whether it is there is looked
//! after each batch. The directory stays open, and what is kept is read in it
//! and published on; what was published is written there at the end. Once it is
//! back, the journal goes on as if nothing had been. What stands in its place
//! meanwhile is not ours.

use std::io;

use tracing::{error, info};

use super::super::super::error::Unrecorded;
use super::super::super::storage::Storage;
use super::super::active::Active;
use super::{Core, Mode, Now};

/// The segment that was written when its directory was found gone.
pub(super) struct Away<F> {
    active: Active<F>,
    /// Whether all that stands in it counts. Else, once it is back, the next
    /// segment takes the numbers of what was refused.
    is_whole: bool,
}

impl<S: Storage> Core<S> {
    /// Takes no more until it is back.
    pub(super) fn leave_directory(&mut self, why: String) {
        if !matches!(self.mode, Mode::Astray { .. }) {
            error!(%why, "The journal's directory is not where it was; nothing is recorded until it is back.");
        }
        self.note_error(&io::Error::other(&*why));
        self.mode = Mode::Astray { why: why.into() };
        if let Some(active) = self.active.take() {
            let is_whole = true;
            self.away = Some(Away { active, is_whole });
        }
    }

    /// It is back.
    pub(super) fn come_home(&mut self) {
        info!("The journal's directory is back; effects are recorded again.");
        self.mode = Mode::Working;
        let away = self.away.take().filter(|away| away.is_whole);
        self.active = away.map(|away| away.active);
    }

    /// The last thing before what was written is answered: it must be where it
    /// will be looked for.
    pub(super) fn look_again(&mut self, now: Now) -> Result<(), Unrecorded> {
        if self.active.is_none() {
            return self.has_ended().map_or(Ok(()), Err);
        }
        self.looked_around = None;
        self.look_around(now);
        if self.active.is_some() {
            return Ok(());
        }
        self.tell_index();
        let is_owed_answers = self.unsynced_before < self.unsynced.written.len();
        if let Some(away) = self.away.as_mut().filter(|_| is_owed_answers) {
            away.is_whole = false;
            // What is refused must not come back, if the directory does.
            let (id, end) = (away.active.id, away.active.cut_last());
            if let Some(segment) = self.index.segment(id) {
                segment.bytes = end;
            }
            self.log.next = self.log.durable + 1;
            self.log.crc = self.log.durable_crc;
            self.take_back();
        }
        Err(self.refusal().unwrap_or(Unrecorded::Bypassed))
    }

    /// Why nothing can be written, if that does not end by itself.
    pub(super) fn has_ended(&self) -> Option<Unrecorded> {
        match self.mode {
            Mode::Failed { .. } | Mode::Astray { .. } => self.refusal(),
            Mode::Working | Mode::Bypassed { .. } => None,
        }
    }

    /// Leaves the directory so that it can be put back: who opens it there finds
    /// what was published meanwhile.
    pub(super) fn end_away(&mut self, now: Now) {
        let Some(Away { active, is_whole }) = self.away.take() else {
            return;
        };
        self.active = Some(active);
        self.batch.clear();
        if is_whole {
            self.settle_most_owed(now);
            self.batch.clear();
            self.settle_owed(now);
            let stamp = self.stamp(now);
            self.batch.close(stamp);
            _ = self.write(now);
        }
        if let Some(active) = &mut self.active {
            _ = active.sync();
        }
    }

    /// The file of a segment, if it is the one that was written: of a directory
    /// that was removed it is all there is.
    pub(super) fn left_open(&self, segment: u32) -> Option<&S::File> {
        let active = self.away.as_ref().map(|away| &away.active);
        active
            .filter(|active| active.id == segment)
            .map(Active::file)
    }
}
