//! Lanes that wait for a dead letter.

use super::{Outbox, State, Weight};
use crate::protocol::id::{EffectId, LaneKey};

/// A lane that waits for a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParkedLane<'a> {
    /// Which route, by its number.
    pub route: usize,
    /// Which.
    pub lane: &'a LaneKey,
    /// The letter, the oldest if there are several.
    pub by: EffectId,
    /// Effects that wait behind it.
    pub waiting: usize,
}

impl<B: Weight> Outbox<B> {
    /// The lane of a dead letter waits for it from now on. Returns whether the
    /// lane waited for none before.
    pub(crate) fn handle_parked(&mut self, by: EffectId) -> bool {
        let Some(record) = self.records.get_mut(&by) else {
            return false;
        };
        if record.state != State::Dead || std::mem::replace(&mut record.parks, true) {
            return false;
        }
        let before = self.lines.parked_len();
        self.parking.insert(record.order, by);
        self.lines.park(record.slot, by);
        self.lines.parked_len() > before
    }

    /// Which dead letters a lane waits for.
    pub(crate) fn parked_by(&self, route: usize, lane: &LaneKey) -> &[EffectId] {
        self.lines.parked_by(route, lane)
    }

    /// Whether the lane of this effect is parked.
    pub(crate) fn is_parked(&self, id: EffectId) -> bool {
        let record = self.records.get(&id);
        record.is_some_and(|record| {
            let (route, lane) = self.lines.place(record.slot);
            !self.lines.parked_by(route, lane).is_empty()
        })
    }

    /// The lanes that are parked, in the order of the letters they wait for.
    pub(crate) fn parked(&self) -> impl Iterator<Item = ParkedLane<'_>> {
        let all = self.parking.values();
        all.filter_map(|by| self.parked_lane(*by))
    }

    /// The lane that waits for this letter before any other.
    fn parked_lane(&self, by: EffectId) -> Option<ParkedLane<'_>> {
        let slot = self.records.get(&by)?.slot;
        let (route, lane) = self.lines.place(slot);
        let is_first = self.lines.parked_by(route, lane).first() == Some(&by);
        is_first.then(|| ParkedLane {
            route,
            lane,
            by,
            waiting: self.lines.waiting(slot),
        })
    }

    /// The lane of a letter waits for it no more.
    pub(super) fn unpark(&mut self, id: EffectId) {
        if let Some(record) = self.records.get_mut(&id)
            && std::mem::replace(&mut record.parks, false)
        {
            self.parking.remove(&record.order);
            self.lines.unpark(record.slot, id);
        }
    }
}
