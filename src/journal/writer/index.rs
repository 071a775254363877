//! What is not settled, and where it stands: 28 bytes an effect and the
//! table's own slack; payloads stay on disk. What a backlog took is given back
//! as it goes.

use std::collections::VecDeque;

use hashbrown::HashMap;
use uuid::Uuid;

use super::super::fold::{Fold, Place};
use super::super::segment::Segment;
use super::batch::{Change, Moved, Written};
use crate::protocol::id::EffectId;

/// A table with room for so many is not worth making smaller.
const EFFECTS_MIN: usize = 4096;

/// Where the records of an effect stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    place: Place,
    failed: Option<Place>,
}

/// The index over all segments.
#[derive(Debug, Default)]
pub(in crate::journal) struct Index {
    effects: HashMap<EffectId, Place>,
    /// Where it says of some of them why they are dead.
    failed: HashMap<EffectId, Place>,
    notes: HashMap<Uuid, Place>,
    /// Oldest first; their ids follow one another.
    pub(in crate::journal) segments: VecDeque<Segment>,
}

impl Index {
    pub(in crate::journal) fn of(fold: &Fold, segments: Vec<Segment>) -> Self {
        let mut effects = HashMap::with_capacity(fold.live.len());
        effects.extend(fold.live.values().map(|held| (held.live.id, held.place)));
        let dead = fold.live.values();
        let failed = dead.filter_map(|held| Some((held.live.id, held.failed?)));
        let notes = fold.notes.iter().map(|(id, (_, place))| (*id, *place));
        Self {
            effects,
            failed: failed.collect(),
            notes: notes.collect(),
            segments: segments.into(),
        }
    }

    pub(super) fn live(&self) -> u64 {
        self.effects.len() as u64
    }

    pub(super) fn dead(&self) -> u64 {
        self.failed.len() as u64
    }

    pub(super) fn holds(&self, id: EffectId) -> bool {
        self.effects.contains_key(&id)
    }

    /// Where the effect stands, and in which segment.
    pub(in crate::journal) fn find(&self, id: EffectId) -> Option<(Place, &Segment)> {
        let place = *self.effects.get(&id)?;
        let front = self.segments.front()?.id;
        let at = place.segment.checked_sub(front)?;
        Some((place, self.segments.get(at as usize)?))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What is needed at `place`, if anything is.
    pub(super) fn needed_at(&self, id: Uuid, place: Place) -> Option<Moved> {
        let effect = EffectId::from(id);
        if self.effects.get(&effect) == Some(&place) {
            return Some(Moved::Effect(effect));
        }
        if self.failed.get(&effect) == Some(&place) {
            return Some(Moved::Failure(effect));
        }
        (self.notes.get(&id) == Some(&place)).then_some(Moved::Note(id))
    }

    pub(super) fn segment(&mut self, id: u32) -> Option<&mut Segment> {
        let front = self.segments.front()?.id;
        self.segments.get_mut(id.checked_sub(front)? as usize)
    }

    /// Takes over records of a batch that was written at `base` of segment
    /// `segment`; what stood elsewhere before, because that segment was given up,
    /// moves.
    pub(super) fn apply(&mut self, written: &mut [Written], segment: u32, base: u64, now_ms: u64) {
        for written in written {
            let to = place(written, segment, base);
            match written.place.replace(to) {
                None => self.change(&mut written.change, to, now_ms),
                Some(from) => self.replace(&written.change, from, to, now_ms),
            }
        }
    }

    fn change(&mut self, change: &mut Change, place: Place, now_ms: u64) {
        match change {
            Change::Nothing => {}
            Change::Open(id) => {
                self.effects.insert(*id, place);
                self.keep(place);
            }
            Change::Settle(settled) => {
                for settled in &*settled {
                    self.settle(settled.id);
                }
                self.settled(place, settled.len(), now_ms);
            }
            Change::Discard(id, before) => {
                *before = self.settle(*id);
                self.settled(place, 1, now_ms);
            }
            Change::Retell { ids, at_ms } => self.settled(place, *ids, *at_ms),
            Change::Fail(id) => self.fail(*id, place),
            Change::Requeue(id, before) => *before = self.requeue(*id),
            Change::Note {
                id,
                is_gone,
                before,
            } => {
                *before = self.notes.remove(id);
                if let Some(old) = *before {
                    self.let_go(old);
                }
                if !*is_gone {
                    self.notes.insert(*id, place);
                    self.keep(place);
                }
            }
            Change::Move(moved, from) => self.relocate(*moved, *from, place),
        }
    }

    /// Takes back a change that was written and is refused; the latest first.
    pub(super) fn take_back(&mut self, change: &Change) {
        match change {
            Change::Open(id) => _ = self.settle(*id),
            Change::Discard(id, Some(slot)) => {
                self.effects.insert(*id, slot.place);
                self.keep(slot.place);
                if let Some(failed) = slot.failed {
                    self.fail(*id, failed);
                }
            }
            Change::Requeue(id, Some(failed)) => self.fail(*id, *failed),
            Change::Note { id, before, .. } => {
                if let Some(place) = self.notes.remove(id) {
                    self.let_go(place);
                }
                if let Some(before) = before {
                    self.notes.insert(*id, *before);
                    self.keep(*before);
                }
            }
            _ => {}
        }
    }

    /// Forgets an effect; returns where it stood.
    pub(super) fn settle(&mut self, id: EffectId) -> Option<Slot> {
        let place = self.effects.remove(&id)?;
        self.give_back();
        self.let_go(place);
        let failed = self.requeue(id);
        Some(Slot { place, failed })
    }

    /// Little is moved for it: the table was four times as large.
    fn give_back(&mut self) {
        let room = self.effects.capacity();
        if EFFECTS_MIN < room && self.effects.len() < room / 4 {
            self.effects.shrink_to(room / 2);
        }
    }

    fn fail(&mut self, id: EffectId, place: Place) {
        if !self.effects.contains_key(&id) {
            return;
        }
        if let Some(old) = self.failed.insert(id, place) {
            self.let_go(old);
        }
        self.keep(place);
    }

    /// Returns where it was said why the effect was dead.
    fn requeue(&mut self, id: EffectId) -> Option<Place> {
        if self.failed.is_empty() {
            // It is asked of everything that is settled.
            return None;
        }
        let failed = self.failed.remove(&id)?;
        self.let_go(failed);
        Some(failed)
    }

    /// What stood at `from` stands at `to`, unless it changed meanwhile.
    fn relocate(&mut self, moved: Moved, from: Place, to: Place) {
        let known = match moved {
            Moved::Effect(id) => self.effects.get_mut(&id),
            Moved::Failure(id) => self.failed.get_mut(&id),
            Moved::Note(id) => self.notes.get_mut(&id),
        };
        if let Some(place) = known.filter(|place| **place == from) {
            *place = to;
            self.let_go(from);
            self.keep(to);
        }
    }

    fn replace(&mut self, change: &Change, from: Place, to: Place, now_ms: u64) {
        match change {
            Change::Open(id) => self.relocate(Moved::Effect(*id), from, to),
            Change::Fail(id) => self.relocate(Moved::Failure(*id), from, to),
            Change::Note { id, .. } => self.relocate(Moved::Note(*id), from, to),
            Change::Move(moved, _) => self.relocate(*moved, from, to),
            Change::Settle(ids) => self.settled(to, ids.len(), now_ms),
            Change::Discard(..) => self.settled(to, 1, now_ms),
            Change::Retell { ids, at_ms } => self.settled(to, *ids, *at_ms),
            Change::Requeue(..) | Change::Nothing => {}
        }
    }

    fn keep(&mut self, place: Place) {
        if let Some(segment) = self.segment(place.segment) {
            segment.keep(place);
        }
    }

    fn let_go(&mut self, place: Place) {
        if let Some(segment) = self.segment(place.segment) {
            segment.let_go(place);
        }
    }

    fn settled(&mut self, place: Place, ids: usize, at_ms: u64) {
        if let Some(segment) = self.segment(place.segment) {
            segment.settle(ids, u64::from(place.length), at_ms);
        }
    }
}

fn place(written: &Written, segment: u32, base: u64) -> Place {
    Place {
        segment,
        offset: u32::try_from(base.wrapping_add(written.at as u64)).unwrap_or(u32::MAX),
        length: u32::try_from(written.length).unwrap_or(u32::MAX),
    }
}
