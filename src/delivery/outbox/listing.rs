//! What is kept, for whoever asks.

use super::{Outbox, State, Weight};
use crate::protocol::id::{EffectId, LaneKey};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backlog {
    /// Lanes that hold something to be published.
    pub lanes: usize,
    /// Effects to be published.
    pub open: usize,
    /// Effects given up, which wait for an operator.
    pub dead: usize,
    /// Lanes that wait for such a one.
    pub parked: usize,
    /// When the oldest of those to be published arrived, in milliseconds since
    /// the epoch.
    pub oldest_ms: Option<u64>,
}

/// One kept effect, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Which one.
    pub id: EffectId,
    /// The number of its route; what comes after the last is one that is gone.
    pub route: usize,
    /// Its lane.
    pub lane: LaneKey,
    /// When it arrived, in milliseconds since the epoch.
    pub arrived_ms: u64,
    /// Whether it was given up.
    pub is_dead: bool,
}

impl<B: Weight> Outbox<B> {
    /// How much there is.
    pub(crate) fn backlog(&self) -> Backlog {
        let oldest = self.open.first_key_value();
        Backlog {
            lanes: self.lines.open(),
            open: self.open.len(),
            dead: self.dead.len(),
            parked: self.lines.parked_len(),
            oldest_ms: oldest.map(|(_, id)| self.records[id].arrived_ms),
        }
    }

    /// One effect.
    pub(crate) fn kept(&self, id: EffectId) -> Option<Kept> {
        let record = self.records.get(&id)?;
        let (route, lane) = self.lines.place(record.slot);
        Some(Kept {
            id,
            route,
            lane: lane.clone(),
            arrived_ms: record.arrived_ms,
            is_dead: record.state == State::Dead,
        })
    }

    /// Dead letters and then, unless only those are wanted, the others, each in
    /// the order of their arrival; without so many of the first.
    pub(crate) fn list(&self, dead_only: bool, skip: usize) -> impl Iterator<Item = Kept> {
        let open = (!dead_only).then(|| self.open.values());
        let ids = self.dead.values().chain(open.into_iter().flatten());
        ids.skip(skip).filter_map(|id| self.kept(*id))
    }

    /// The dead letters, in the order of their arrival.
    pub(crate) fn dead(&self) -> impl Iterator<Item = EffectId> {
        self.dead.values().copied()
    }
}
