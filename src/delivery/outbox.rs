//! What is kept on disk until it is published: which effects, in which order,
//! and whose turn it is to be brought to the lanes.
//!
//! Owns the ids of all kept effects, by lane in the order of their arrival.
//! Payloads stay on disk until their turn is near; a few that have just come
//! are kept in memory, so that a chain at rest never reads what it wrote.
//!
//! Promises: effects of a lane are loaded in the order they arrived; a lane has
//! no more than [`LANE_LOADED_MAX`] of them loaded; every lane may have one
//! loaded, however much the others hold; an id is kept once.
//!
//! Never reads, writes, waits, or looks at a clock; the dispatcher of `ingest`
//! does that.
//!
//! ```text
//!  offered ──▶ Writing ──recorded──▶ Waiting ──poll_load──▶ Loaded ──published──▶ forgotten
//!                │                    ▲   │                   │
//!            unrecorded       requeued│   │dropped            │dead
//!                ▼                    │   ▼                   ▼
//!            forgotten                └─ forgotten ◀─dropped── Dead
//! ```
//!
//! A dead letter may park its lane: nothing of it is loaded then, and what was
//! is returned, until the letter is requeued or dropped, or an operator lets the
//! lane go on without it. Its effects stay where they are, so a parked lane costs
//! what it cost before; whoever brings more effects asks first whether it is.
//!
//! A dead letter may turn out to be published, when the transport answers late what
//! was given up: then it is forgotten as well, also if somebody wants something of
//! it that is not on disk yet.
//!
//! What an operator wants, requeued or dropped, is asked for first and happens
//! once it is on disk; until then a dead letter stays one, and an effect that is
//! to be dropped keeps its lane from being loaded.

mod lines;
mod listing;
mod parking;
mod wishes;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use uuid::Uuid;

use super::dedupe::Done;
use crate::protocol::id::{EffectId, LaneKey};
pub(crate) use lines::Weight;
use lines::{Lines, Slot};
pub(crate) use listing::Kept;
pub(crate) use parking::ParkedLane;
pub(crate) use wishes::{Unable, Wish};

/// Effects of one lane that are with the lanes at a time: the batch on its way
/// and the next.
pub(crate) const LANE_LOADED_MAX: usize = 64;

/// A table with room for so many is not worth making smaller.
const RECORDS_MIN: usize = 4096;

/// What is known of an effect that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    No,
    /// It is on its way to the disk.
    Writing,
    /// It is kept.
    Kept,
    /// Its id belongs to something else.
    Conflict,
}

/// An effect whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Load<B> {
    /// Which one.
    pub id: EffectId,
    /// Its place in the order of arrival.
    pub order: u64,
    /// What there is to deliver; without it, it has to be read.
    pub body: Option<B>,
}

/// Where an effect belongs, and how it is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// Which route, by its number.
    pub route: usize,
    /// Its lane there.
    pub lane: LaneKey,
    /// What it can be recognised by under another id; else its own id.
    pub known_by: Uuid,
    /// Tells its content from another's.
    pub fingerprint: u64,
    /// When it arrived, in milliseconds since the epoch.
    pub arrived_ms: u64,
}

/// Everything that is kept; `B` is what the caller delivers.
#[derive(Debug)]
pub(crate) struct Outbox<B> {
    records: HashMap<EffectId, Record>,
    /// Those that can be recognised under another id.
    known_by: HashMap<Uuid, EffectId>,
    /// Those to be published, in the order of arrival.
    open: BTreeMap<u64, EffectId>,
    /// Those given up.
    dead: BTreeMap<u64, EffectId>,
    /// Those of them that a lane waits for.
    parking: BTreeMap<u64, EffectId>,
    lines: Lines<B>,
    next_order: u64,
}

#[derive(Debug)]
struct Record {
    slot: Slot,
    order: u64,
    arrived_ms: u64,
    known_by: Uuid,
    fingerprint: u64,
    state: State,
    /// What was asked for, and is not on disk yet.
    wish: Option<Wish>,
    /// Whether its lane waits for it.
    parks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    Waiting,
    Loaded,
    Dead,
}

impl<B: Weight> Outbox<B> {
    /// Nothing is kept.
    pub(crate) fn new() -> Self {
        Self {
            records: HashMap::new(),
            known_by: HashMap::new(),
            open: BTreeMap::new(),
            dead: BTreeMap::new(),
            parking: BTreeMap::new(),
            lines: Lines::new(),
            next_order: 0,
        }
    }

    /// How many effects there are, whatever their state.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// What is known of an effect: by its id, and by what else names it.
    pub(crate) fn look_up(&self, effect: &Done) -> Known {
        let same_id = self.records.get(&effect.id);
        if same_id.is_some_and(|record| record.fingerprint != effect.fingerprint) {
            return Known::Conflict;
        }
        let same_key = || self.records.get(self.known_by.get(&effect.known_by)?);
        // Mended, it is no copy of what was given up.
        let is_copy = |record: &&Record| {
            record.state != State::Dead || record.fingerprint == effect.fingerprint
        };
        let same_key = || same_key().filter(is_copy);
        match same_id.or_else(same_key).map(|record| record.state) {
            None => Known::No,
            Some(State::Writing) => Known::Writing,
            Some(State::Waiting | State::Loaded | State::Dead) => Known::Kept,
        }
    }

    /// Whether effects of this lane are on disk and to be published.
    pub(crate) fn holds(&self, route: usize, lane: &LaneKey) -> bool {
        self.lines.holds(route, lane)
    }

    /// How many effects of this lane are kept to be published.
    pub(crate) fn unpublished(&self, route: usize, lane: &LaneKey) -> usize {
        self.lines.unpublished(route, lane)
    }

    /// Whether effects of this lane are on their way to the disk.
    pub(crate) fn is_writing(&self, route: usize, lane: &LaneKey) -> bool {
        self.lines.is_written(route, lane)
    }

    /// Whether this effect is on its way to the disk.
    pub(crate) fn is_recording(&self, id: EffectId) -> bool {
        let record = self.records.get(&id);
        record.is_some_and(|record| record.state == State::Writing)
    }

    /// An effect nobody knows is on its way to the disk.
    pub(crate) fn handle_offered(&mut self, id: EffectId, home: Home) {
        let order = self.insert(id, home, State::Writing);
        self.open.insert(order, id);
        self.lines.begin_write(self.records[&id].slot);
    }

    /// It is there; it leaves behind all others of its lane.
    pub(crate) fn handle_recorded(&mut self, id: EffectId, body: B) {
        if let Some(record) = self.records.get_mut(&id) {
            let before = std::mem::replace(&mut record.state, State::Waiting);
            if before == State::Writing {
                self.lines.end_write(record.slot);
            }
            self.lines.push(record.slot, record.order, Some(body));
        }
    }

    /// It did not get there.
    pub(crate) fn handle_unrecorded(&mut self, id: EffectId) {
        self.forget(id);
    }

    /// It was there when the journal was opened; called in order of arrival.
    pub(crate) fn handle_restored(&mut self, id: EffectId, home: Home, is_dead: bool) {
        if is_dead {
            let order = self.insert(id, home, State::Dead);
            self.dead.insert(order, id);
            return;
        }
        let order = self.insert(id, home, State::Waiting);
        self.open.insert(order, id);
        self.lines.push(self.records[&id].slot, order, None);
    }

    /// It was published; returns how it is recognised from now on.
    pub(crate) fn handle_published(&mut self, id: EffectId) -> Option<Done> {
        self.forget(id)
    }

    /// It was published by what went out before it was given up, or taken back,
    /// whatever somebody wants of it; not if it is with the lanes again: that goes
    /// its way. Returns how it is recognised from now on.
    pub(crate) fn handle_published_late(&mut self, id: EffectId) -> Option<Done> {
        let record = self.records.get(&id)?;
        if !matches!(record.state, State::Waiting | State::Dead) {
            return None;
        }
        self.end_wish(id);
        self.forget(id)
    }

    /// It was given up; whether it was there.
    pub(crate) fn handle_dead(&mut self, id: EffectId) -> bool {
        let Some(record) = self.records.get_mut(&id) else {
            return false;
        };
        let before = std::mem::replace(&mut record.state, State::Dead);
        match before {
            State::Loaded => self.lines.unload(record.slot),
            State::Waiting => self.lines.remove(record.slot, record.order),
            State::Writing => self.lines.end_write(record.slot),
            State::Dead => {}
        }
        self.open.remove(&record.order);
        self.dead.insert(record.order, id);
        true
    }

    /// The lane of an effect, and the number of its route.
    pub(crate) fn place(&self, id: EffectId) -> Option<(usize, LaneKey)> {
        let record = self.records.get(&id)?;
        let (route, lane) = self.lines.place(record.slot);
        Some((route, lane.clone()))
    }

    /// The next effect to bring to the lanes of a route. Without `slack`, only
    /// such whose lane has nothing loaded.
    pub(crate) fn poll_load(&mut self, route: usize, slack: bool) -> Option<Load<B>> {
        let (order, body) = self.lines.poll(route, slack)?;
        let id = *self.open.get(&order)?;
        self.records.get_mut(&id)?.state = State::Loaded;
        Some(Load { id, order, body })
    }

    /// Whether what was to be loaded is to go to the lanes still.
    pub(crate) fn is_loaded(&self, load: &Load<B>) -> bool {
        let record = self.records.get(&load.id);
        record.is_some_and(|record| (record.state, record.order) == (State::Loaded, load.order))
    }

    /// An effect that was loaded could not be brought to the lanes: it waits
    /// again, and nothing of its lane is loaded until [`Self::handle_pause_over`].
    pub(crate) fn handle_unloaded(&mut self, id: EffectId, body: Option<B>) {
        if let Some(record) = self.records.get(&id) {
            self.lines.pause(record.slot);
        }
        self.handle_returned(id, body);
    }

    /// An effect that was loaded is with the lanes no more: it waits again, at
    /// its place.
    pub(crate) fn handle_returned(&mut self, id: EffectId, body: Option<B>) {
        if let Some(record) = self.records.get_mut(&id)
            && record.state == State::Loaded
        {
            record.state = State::Waiting;
            let (slot, order) = (record.slot, record.order);
            self.lines.push(slot, order, body);
            self.lines.unload(slot);
        }
    }

    /// Whether an effect of its lane waits that arrived before this one.
    pub(crate) fn waits_behind(&self, id: EffectId) -> bool {
        let record = self.records.get(&id);
        record.is_some_and(|record| {
            let first = self.lines.first_waiting(record.slot);
            first.is_some_and(|first| first < record.order)
        })
    }

    /// Whether the lane of this effect is paused.
    pub(crate) fn is_paused(&self, id: EffectId) -> bool {
        let record = self.records.get(&id);
        record.is_some_and(|record| self.lines.is_paused(record.slot))
    }

    /// Lanes that were paused are loaded again.
    pub(crate) fn handle_pause_over(&mut self) {
        self.lines.resume();
    }

    /// Effects its tables and lines have room for.
    #[cfg(test)]
    fn room(&self) -> usize {
        self.records.capacity().max(self.lines.room())
    }

    fn insert(&mut self, id: EffectId, home: Home, state: State) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        let slot = self.lines.slot_for(home.route, home.lane);
        let record = Record {
            slot,
            order,
            arrived_ms: home.arrived_ms,
            known_by: home.known_by,
            fingerprint: home.fingerprint,
            state,
            wish: None,
            parks: false,
        };
        self.records.insert(id, record);
        if home.known_by != id.as_uuid() {
            self.known_by.insert(home.known_by, id);
        }
        order
    }

    fn forget(&mut self, id: EffectId) -> Option<Done> {
        self.unpark(id);
        let record = self.records.remove(&id)?;
        if self.known_by.get(&record.known_by) == Some(&id) {
            self.known_by.remove(&record.known_by);
        }
        give_back(&mut self.records);
        give_back(&mut self.known_by);
        match record.state {
            State::Loaded => self.lines.unload(record.slot),
            State::Waiting => self.lines.remove(record.slot, record.order),
            State::Writing => self.lines.end_write(record.slot),
            State::Dead => {}
        }
        self.open.remove(&record.order);
        self.dead.remove(&record.order);
        self.lines.release(record.slot);
        Some(Done {
            id,
            known_by: record.known_by,
            fingerprint: record.fingerprint,
        })
    }
}

/// What an outage has filled is not needed after it. Little is moved for it: the
/// table was four times as large.
fn give_back<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    let room = table.capacity();
    if RECORDS_MIN < room && table.len() < room / 4 {
        table.shrink_to(room / 2);
    }
}

#[cfg(test)]
mod tests;
