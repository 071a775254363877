//! What a row of records comes to.
//!
//! ```text
//!            E                    F
//! unknown ───────▶ open ◀──────────────▶ dead letter
//!    ▲              │     R requeue          │
//!    └── forgotten ─┴── D, R discard ────────┴──▶ done
//! ```
//!
//! A second `E` of an effect that is not settled changes nothing, unless it is
//! a copy (the same `n`): then it is where the effect stands now. A copy of a
//! settled effect is settled. An `E` with another `n` after that is a new one.
//!
//! Pure: knows records, no files.

use hashbrown::{HashMap, HashSet};
use slab::Slab;
use uuid::Uuid;

use super::entry::{DeadLetter, Done, Live, Settled, State};
use super::record::Payload;
use super::scan::Found;
use crate::protocol::id::{EffectId, LaneKey};

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which segment, counted over the life of this process.
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// Without the LF.
    pub(super) length: u32,
}

/// An effect that is not settled, and where its records stand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) live: Live,
    pub(super) place: Place,
    /// Where it says why it was given up.
    pub(super) failed: Option<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Past {
    settled: Settled,
    at_ms: u64,
    /// Tells a copy from a new effect; `None` if it was never seen.
    n: Option<u64>,
    /// When it was settled, among others.
    seq: u64,
}

/// A failure that was read before the copy of its effect.
#[derive(Debug)]
struct Early {
    letter: DeadLetter,
    place: Place,
    seq: u64,
}

/// Effects that are not settled, by id.
///
/// The table holds numbers only: as it grows it is copied, and what an effect
/// needs is ten times as long.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    slots: HashMap<EffectId, usize>,
    held: Slab<Held>,
}

impl Unsettled {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// In the order of arrival, but for what took the place of what was settled.
    pub(super) fn values(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().map(|(_, held)| held)
    }

    /// In the same order.
    pub(super) fn into_values(self) -> impl Iterator<Item = Held> {
        self.held.into_iter().map(|(_, held)| held)
    }

    /// Makes room for what `left` bytes are likely to bring, if they are like the
    /// `read` ones before.
    pub(super) fn expect(&mut self, read: u64, left: u64) {
        let likely = u128::from(left) * self.slots.len() as u128 / u128::from(read.max(1));
        self.slots.reserve(usize::try_from(likely).unwrap_or(0));
    }

    fn contains(&self, id: EffectId) -> bool {
        self.slots.contains_key(&id)
    }

    fn get_mut(&mut self, id: EffectId) -> Option<&mut Held> {
        let slot = *self.slots.get(&id)?;
        self.held.get_mut(slot)
    }

    /// Takes one whose id is not there.
    fn insert(&mut self, held: Held) {
        let id = held.live.id;
        self.slots.insert(id, self.held.insert(held));
    }

    fn remove(&mut self, id: EffectId) -> Option<Held> {
        let slot = self.slots.remove(&id)?;
        self.held.try_remove(slot)
    }
}

/// The state after the records so far.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) live: Unsettled,
    pub(super) notes: HashMap<Uuid, (Box<str>, Place)>,
    done: HashMap<EffectId, Past>,
    /// Failures whose effect comes only now: it was copied, they were not yet.
    early: HashMap<EffectId, Early>,
    /// Effects settled before this are not remembered.
    done_since_ms: u64,
    /// The lanes seen so far: a million effects share a few names.
    lanes: HashSet<LaneKey>,
}

impl Fold {
    pub(super) fn remembering_since(done_since_ms: u64) -> Self {
        Self {
            done_since_ms,
            ..Self::default()
        }
    }

    /// Takes the next record, which stands in `segment`.
    pub(super) fn apply(&mut self, found: Found<'_>, segment: u32) {
        let place = Place {
            segment,
            offset: u32::try_from(found.offset).unwrap_or(u32::MAX),
            length: found.length,
        };
        let id = EffectId::from(found.frame.id);
        let (t, seq) = (found.record.t, found.frame.q);
        match found.record.payload {
            Payload::Header { .. } | Payload::Close => {}
            Payload::Effect(effect) => {
                if self.may_open(id, effect.n, seq, place) {
                    let live = Live {
                        id,
                        lane: self.lane(&effect.lane),
                        route: effect.route.as_deref().map(Into::into),
                        n: effect.n,
                        seq,
                        fingerprint: effect.fingerprint,
                        arrived_ms: t,
                        bytes: effect.bytes(),
                        known_by: effect.known_by(id),
                        key: effect.key,
                        state: State::Open,
                    };
                    self.open(live, place);
                }
            }
            Payload::Done(done) => done.into_iter().for_each(|done| self.settle(done, t, seq)),
            Payload::Discard => {
                self.settle(id.into(), t, seq);
                // It was not published: another under the same key is no copy of it.
                if let Some(past) = self.done.get_mut(&id) {
                    past.settled.known_by = id.as_uuid();
                }
            }
            Payload::Failed(letter) => self.fail(id, Early { letter, place, seq }),
            Payload::Requeue => self.requeue(id),
            Payload::Note(text) if text.is_empty() => _ = self.notes.remove(&found.frame.id),
            Payload::Note(text) => {
                self.notes.insert(found.frame.id, (text.into(), place));
            }
        }
    }

    fn lane(&mut self, name: &str) -> LaneKey {
        if let Some(lane) = self.lanes.get(name) {
            return lane.clone();
        }
        let lane = LaneKey::new(name);
        self.lanes.insert(lane.clone());
        lane
    }

    /// Whether this `E` opens its effect.
    fn may_open(&mut self, id: EffectId, n: u64, seq: u64, place: Place) -> bool {
        if let Some(held) = self.live.get_mut(id) {
            if held.live.n == n {
                held.place = place;
                held.live.seq = seq;
            }
            return false;
        }
        self.done.get(&id).is_none_or(|done| done.n != Some(n))
    }

    fn open(&mut self, mut live: Live, place: Place) {
        // A failure older than the effect is another's.
        let early = self
            .early
            .remove(&live.id)
            .filter(|early| live.n < early.seq);
        let failed = early.map(|early| {
            live.state = State::Dead(early.letter.into());
            early.place
        });
        self.live.insert(Held {
            live,
            place,
            failed,
        });
    }

    fn settle(&mut self, mut settled: Settled, at_ms: u64, seq: u64) {
        let id = settled.id;
        let held = self.live.remove(id);
        self.early.remove(&id);
        if at_ms < self.done_since_ms {
            return;
        }
        let before = self.done.get(&id);
        let (n, known) = match &held {
            Some(Held { live, .. }) => (Some(live.n), Some((live.known_by, live.fingerprint))),
            None => (
                before.and_then(|past| past.n),
                before.map(|past| (past.settled.known_by, past.settled.fingerprint)),
            ),
        };
        if let Some(known) = known.filter(|_| settled.fingerprint == 0) {
            // Its record says no more than its id.
            (settled.known_by, settled.fingerprint) = known;
        }
        let past = Past {
            settled,
            at_ms,
            n,
            seq,
        };
        self.done.insert(id, past);
    }

    fn fail(&mut self, id: EffectId, failure: Early) {
        let Some(held) = self.live.get_mut(id) else {
            self.early.insert(id, failure);
            return;
        };
        held.live.state = State::Dead(failure.letter.into());
        held.failed = Some(failure.place);
    }

    fn requeue(&mut self, id: EffectId) {
        self.early.remove(&id);
        if let Some(held) = self.live.get_mut(id) {
            held.live.state = State::Open;
            held.failed = None;
        }
    }

    /// What was settled and is remembered, oldest first.
    pub(super) fn done(&self, most: usize) -> Vec<Done> {
        let mut done: Vec<(u64, Done)> = self
            .done
            .iter()
            .filter(|(id, _)| !self.live.contains(**id))
            .map(|(_, past)| {
                let (settled, at_ms) = (past.settled, past.at_ms);
                (past.seq, Done { settled, at_ms })
            })
            .collect();
        done.sort_unstable_by_key(|(seq, done)| (*seq, done.settled.id));
        let skipped = done.len().saturating_sub(most);
        done.into_iter()
            .skip(skipped)
            .map(|(_, done)| done)
            .collect()
    }
}

#[cfg(test)]
mod tests;
