//! What operators want of kept effects, from when they ask to when it is so.

use super::{Outbox, State, Weight};
use crate::delivery::dedupe::Done;
use crate::protocol::id::{EffectId, LaneKey};

/// What an operator may want of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A dead letter is to be published again, at the place it had.
    Requeue,
    /// It is to be kept no longer.
    Drop,
    /// Its lane is to go on without it; it stays a dead letter.
    Resume,
}

/// Why a wish cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unable {
    /// There is no such effect.
    Unknown,
    /// It is no dead letter.
    NotDead,
    /// No lane waits for it.
    NotParking,
    /// It is on its way to the disk.
    Writing,
    /// Something was asked for already, and is not decided.
    Undecided,
    /// It is with the lanes of this route, and has to be taken out there first.
    Loaded(usize, LaneKey),
}

impl<B: Weight> Outbox<B> {
    /// An operator wants something; it happens when [`Self::handle_granted`]
    /// says so.
    pub(crate) fn handle_wish(&mut self, id: EffectId, wish: Wish) -> Result<(), Unable> {
        let record = self.records.get_mut(&id).ok_or(Unable::Unknown)?;
        match (record.state, wish) {
            _ if record.wish.is_some() => return Err(Unable::Undecided),
            (State::Dead, Wish::Resume) if !record.parks => return Err(Unable::NotParking),
            (State::Dead, _) => {}
            (_, Wish::Resume) => return Err(Unable::NotParking),
            (_, Wish::Requeue) => return Err(Unable::NotDead),
            (State::Waiting, Wish::Drop) => self.lines.hold(record.slot),
            (State::Writing, Wish::Drop) => return Err(Unable::Writing),
            (State::Loaded, Wish::Drop) => {
                let (route, lane) = self.lines.place(record.slot);
                return Err(Unable::Loaded(route, lane.clone()));
            }
        }
        record.wish = Some(wish);
        Ok(())
    }

    /// Whether something was asked for that is not decided.
    pub(crate) fn is_undecided(&self, id: EffectId) -> bool {
        let record = self.records.get(&id);
        record.is_some_and(|record| record.wish.is_some())
    }

    /// What was wished is on disk, and happens. Returns what was dropped: its id
    /// counts as done.
    pub(crate) fn handle_granted(&mut self, id: EffectId) -> Option<Done> {
        match self.end_wish(id)? {
            Wish::Requeue => self.requeue(id),
            // By its id alone: another under the same key is a message of its own.
            Wish::Drop => {
                let known_by = id.as_uuid();
                return self.forget(id).map(|done| Done { known_by, ..done });
            }
            Wish::Resume => self.unpark(id),
        }
        None
    }

    /// It is not: everything is as it was.
    pub(crate) fn handle_denied(&mut self, id: EffectId) {
        self.end_wish(id);
    }

    pub(super) fn end_wish(&mut self, id: EffectId) -> Option<Wish> {
        let record = self.records.get_mut(&id)?;
        let wish = record.wish.take()?;
        if record.state == State::Waiting {
            self.lines.let_go(record.slot);
        }
        Some(wish)
    }

    fn requeue(&mut self, id: EffectId) {
        self.unpark(id);
        if let Some(record) = self.records.get_mut(&id) {
            record.state = State::Waiting;
            self.dead.remove(&record.order);
            self.open.insert(record.order, id);
            self.lines.push(record.slot, record.order, None);
        }
    }
}
