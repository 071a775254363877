//! Batches of which nobody knows whether they were published, made up again as
//! they were.
//!
//! Ably knows a batch by one id for the whole list. When Falco died with a
//! batch on its way, the daemon or the outbox hands the same effects over
//! again; in another batch Ably could not recognise them, and every subscriber
//! would see them twice. So whoever keeps the lists of sent batches tells them
//! here at start, and effects that begin such a list are held back until the
//! list is whole. The same is done for what a lane has given up while it may
//! have been published: its daemon was told to send it again.
//!
//! ```text
//!            first of a list           the next of it
//! passing ────────────────▶ holding ───────────────────▶ whole: go out as one batch
//!                             │  ▲───────────────┘
//!                             └── another effect of the lane, or 1 s ──▶ go out as they come
//! ```
//!
//! A list that is not made up in time costs copies, never loss or order. What is
//! held back is waited for all the while: its deadline begins as it arrives. It
//! fails with what it would stand behind in its lane. It is done if the list turns
//! out to be published, and the rest of it comes no more because of that.
//! Lists are forgotten two minutes after they were told, or seconds later: so is
//! the batch at Ably. While there are any, an effect costs a hash more.
//! Until then one serves as often as its effects come: they may be given up again
//! before they went out.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use uuid::Uuid;

use super::effect::{Place, Submitted};
use super::owed::Amount;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// How long an effect waits for the others of its batch. A daemon that comes
/// back sends what is not acked in one go.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long Ably knows a batch.
const KNOWN: Duration = Duration::from_secs(120);

/// How long a list may stay that is of no use any more: there may be as many
/// times at which one is over as there are lists.
const OVER_FOR: Duration = Duration::from_secs(10);

/// Lists that may be told of while Falco runs: one for each lane that gives up.
const LISTS_MAX: usize = 10_000;

/// How an effect stands in a list: a server knows a key only together with its
/// channel, and an object set is never part of a batch.
pub(crate) fn listed(operation: &Operation, key: &IdempotencyKey) -> Uuid {
    digest(&(operation.is_publish(), operation.channel(), key))
}

/// A name for `value`, the same in every life of this program. Another program
/// may find others, and then makes up no batch of ours.
pub(crate) fn digest(value: &impl Hash) -> Uuid {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    let first = hasher.finish();
    // Its state is wider than what it tells at once.
    hasher.write_u8(1);
    Uuid::from_u64_pair(first, hasher.finish())
}

/// What may go on to its lane.
#[derive(Debug)]
pub(crate) enum Passed<T> {
    /// By itself.
    One(Submitted<T>),
    /// Together, and with nothing else.
    Batch(Vec<Submitted<T>>),
}

/// The keys of a batch, and how long they matter.
#[derive(Debug)]
struct List {
    keys: Vec<Uuid>,
    until: Instant,
}

#[derive(Debug)]
struct Held<T> {
    list: Vec<Uuid>,
    effects: Vec<Submitted<T>>,
    until: Instant,
}

impl<T> Held<T> {
    fn amount(&self) -> Amount {
        let effects = self.effects.iter();
        Amount {
            effects: self.effects.len(),
            bytes: effects.map(|submitted| submitted.effect.bytes).sum(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Recall<T> {
    /// By their first key.
    lists: HashMap<Uuid, List>,
    /// In an order that is the same in every run of a story.
    held: BTreeMap<LaneKey, Held<T>>,
    /// All that is held.
    amount: Amount,
    passed: VecDeque<Passed<T>>,
    /// When what is old is forgotten next.
    forget_at: Instant,
    /// Nothing more is held.
    is_over: bool,
}

impl<T> Recall<T> {
    /// Knows these lists, each of the keys of a batch in their order.
    pub(crate) fn new(lists: impl IntoIterator<Item = Vec<Uuid>>, now: Instant) -> Self {
        let until = now + KNOWN;
        let lists = lists.into_iter();
        let by_first = lists.filter_map(|keys| Some((*keys.first()?, List { keys, until })));
        Self {
            lists: by_first.collect(),
            held: BTreeMap::new(),
            amount: Amount::default(),
            passed: VecDeque::new(),
            forget_at: until,
            is_over: false,
        }
    }

    /// What has these keys may have been published, was given up, and may come
    /// again. If there is too much of it, that costs copies.
    pub(crate) fn remember(&mut self, keys: Vec<Uuid>, now: Instant) {
        if self.is_over || LISTS_MAX <= self.lists.len() {
            return;
        }
        let until = now + KNOWN;
        if self.lists.is_empty() {
            self.forget_at = until;
        }
        if let Some(first) = keys.first() {
            self.lists.insert(*first, List { keys, until });
        }
    }

    /// Whether nothing is held and nothing will be: effects may pass it by.
    pub(crate) fn is_idle(&self) -> bool {
        self.lists.is_empty() && self.held.is_empty() && self.passed.is_empty()
    }

    /// How much is held: it takes as much room as what is in the lanes.
    pub(crate) fn amount(&self) -> Amount {
        self.amount
    }

    /// Whether an effect of this lane is held.
    pub(crate) fn holds(&self, lane: &LaneKey) -> bool {
        self.held.contains_key(lane)
    }

    /// An effect on its way to its lane.
    pub(crate) fn handle(&mut self, submitted: Submitted<T>, now: Instant) {
        let key = listed(&submitted.effect.operation, &submitted.effect.key);
        let lane = submitted.effect.lane.clone();
        if let Some(mut held) = self.take(&lane) {
            if held.list[held.effects.len()] == key {
                held.effects.push(submitted);
                self.hold(lane, held);
                return;
            }
            self.let_go(held);
        }
        let known = self.lists.get(&key).filter(|list| now < list.until);
        match known.map(|list| list.keys.clone()) {
            Some(list) => {
                let effects = vec![submitted];
                let until = now + PATIENCE;
                self.hold(
                    lane,
                    Held {
                        list,
                        effects,
                        until,
                    },
                );
            }
            None => self.passed.push_back(Passed::One(submitted)),
        }
    }

    /// What is held of a lane is given back, and goes nowhere from here.
    pub(crate) fn give_back(&mut self, lane: &LaneKey) -> Vec<Submitted<T>> {
        let held = self.take(lane);
        held.map_or(Vec::new(), |held| held.effects)
    }

    /// The same of what is to stand behind this place, and what is held behind that.
    pub(crate) fn give_back_behind(&mut self, lane: &LaneKey, place: Place) -> Vec<Submitted<T>> {
        self.split(lane, |held| place.arrival < held.place.arrival)
    }

    /// Whoever keeps the effect `id` of this lane wants it back, and all that is
    /// held behind it; none if it is not held.
    pub(crate) fn handle_withdrawn(&mut self, lane: &LaneKey, id: EffectId) -> Vec<Submitted<T>> {
        self.split(lane, |held| held.effect.id == id)
    }

    /// These were published together: gives back what is held of a lane because it
    /// went out so, for the others do not come any more.
    pub(crate) fn handle_published(
        &mut self,
        lane: &LaneKey,
        effects: &[EffectId],
    ) -> Vec<Submitted<T>> {
        let is_theirs = self.held.get(lane).is_some_and(|held| {
            let ids = held.effects.iter().map(|held| &held.effect.id);
            held.list.len() == effects.len() && ids.zip(effects).all(|(held, id)| held == id)
        });
        if is_theirs {
            self.give_back(lane)
        } else {
            Vec::new()
        }
    }

    /// What is held of a lane from the first of these on.
    fn split(
        &mut self,
        lane: &LaneKey,
        is_first: impl FnMut(&Submitted<T>) -> bool,
    ) -> Vec<Submitted<T>> {
        let Some(mut held) = self.take(lane) else {
            return Vec::new();
        };
        let at = held.effects.iter().position(is_first);
        let taken = held.effects.split_off(at.unwrap_or(held.effects.len()));
        if !held.effects.is_empty() {
            self.hold(lane.clone(), held);
        }
        taken
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let over = self.held.iter().filter(|(_, held)| held.until <= now);
        for lane in over.map(|(lane, _)| lane.clone()).collect::<Vec<_>>() {
            if let Some(held) = self.take(&lane) {
                self.let_go(held);
            }
        }
        if self.forget_at <= now {
            self.lists.retain(|_, list| now < list.until);
            self.lists.shrink_to_fit();
            let first = self.lists.values().map(|list| list.until).min();
            let soon = now + OVER_FOR;
            self.forget_at = first.map_or(soon, |first| first.max(soon));
        }
    }

    /// Nothing more comes; what is held goes on.
    pub(crate) fn handle_shutdown(&mut self) {
        self.is_over = true;
        self.lists = HashMap::new();
        self.amount = Amount::default();
        for held in std::mem::take(&mut self.held).into_values() {
            self.let_go(held);
        }
    }

    /// What goes on to its lane next.
    pub(crate) fn poll_passed(&mut self) -> Option<Passed<T>> {
        self.passed.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held.values().map(|held| held.until).min();
        let forget = (!self.lists.is_empty()).then_some(self.forget_at);
        held.into_iter().chain(forget).min()
    }

    fn hold(&mut self, lane: LaneKey, held: Held<T>) {
        if held.effects.len() == held.list.len() {
            self.passed.push_back(Passed::Batch(held.effects));
        } else {
            self.amount += held.amount();
            self.held.insert(lane, held);
        }
    }

    fn take(&mut self, lane: &LaneKey) -> Option<Held<T>> {
        let held = self.held.remove(lane)?;
        self.amount -= held.amount();
        Some(held)
    }

    /// Lets go what will not be whole.
    fn let_go(&mut self, held: Held<T>) {
        self.passed
            .extend(held.effects.into_iter().map(Passed::One));
    }
}

#[cfg(test)]
mod tests;
