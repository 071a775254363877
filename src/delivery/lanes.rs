//! All lanes, and whose turn it is.

mod answers;
mod books;
mod given_up;
mod hushed;
mod line;
#[cfg(any(test, fuzzing))]
pub(super) mod model;
mod outage;
#[cfg(test)]
mod played;
mod sending;
mod signs;
mod still;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use uuid::Uuid;

use super::config::{Config, Keeping, OnRejected};
use super::effect::{BatchNumber, Entry, Settled, Submitted};
use super::failure::{Class, Failure};
use super::health::{Shared, Silences};
use super::lane::Lane;
use super::owed::Amount;
use super::pace::Pace;
use super::turns::Turns;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};
use given_up::GivenUp;
use hushed::Hushed;
use still::Quiet;

/// What a connected transport can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Whether it knows `publish.batch.v1`.
    pub batches: bool,
    /// Requests it gets before one of them is answered.
    pub window: usize,
}

/// How much is being delivered, and how it went so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Depth {
    /// Lanes that hold an effect.
    pub lanes: usize,
    /// Effects held, those on their way included.
    pub effects: usize,
    /// Effects on their way.
    pub in_flight: usize,
    /// Age of the oldest effect.
    pub oldest: Duration,
    /// Sendings after the first of the same effects.
    pub retries: u64,
    /// Effects sent again though nobody could say whether they had been
    /// published.
    pub doubtful: u64,
    /// Answers that came when nobody waited for them any more.
    pub late: u64,
}

/// Every effect that has no outcome yet; `T` is what the caller needs back with
/// the outcome.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    config: Config,
    /// Request ids name the slot.
    slots: Vec<Option<Lane<T>>>,
    free: Vec<u32>,
    by_key: HashMap<LaneKey, u32>,
    /// The lanes that wait for their turn, and are well.
    well: Turns,
    /// Those that are not, and how many requests of such are out and recent.
    ill: Turns,
    ill_in_flight: usize,
    ill_recent: usize,
    /// Whether the last that came goes before the others, if it comes to that.
    is_new_ones_turn: bool,
    /// Of lanes that are empty, which were silent.
    silences: Silences,
    /// The slots of those that may have cost us a connection, by ticket.
    suspects: BTreeMap<u64, u32>,
    suspects_in_flight: usize,
    /// Suspects that are tried together.
    suspects_at_once: usize,
    next_ticket: u64,
    pace: Pace,
    timers: BTreeSet<(Instant, u32)>,
    settled: VecDeque<Settled<T>>,
    /// What was given up and may have been published, as it went out.
    forsaken: VecDeque<Vec<Uuid>>,
    given_up: GivenUp,
    peer: Option<Peer>,
    shutting_down: bool,
    next_generation: u64,
    next_batch: u64,
    requests_in_flight: usize,
    /// Those of them that are not slow.
    recent_requests: usize,
    effects: usize,
    bytes: usize,
    retries: u64,
    doubtful: u64,
    late: u64,
    /// What keeps lanes back, as far as it is known.
    shared: Shared,
    /// What of that is over, and they have not been told.
    over: Shared,
    /// Those that may be kept back, but nobody can say.
    hushed: Hushed,
    next_jitter: u32,
    quiet: Quiet,
    /// Lanes that stand still, or go on, and nobody knows it yet.
    moved: VecDeque<(LaneKey, bool)>,
    /// Lanes whose request is slow, or not any more, and nobody knows it yet.
    slowed: VecDeque<(LaneKey, bool)>,
    /// Lanes of which others have shown that they stand still, and nobody has looked
    /// yet whether they hold too much for that.
    alone: VecDeque<LaneKey>,
    /// Lanes that were full and are empty, and nobody knows it yet.
    emptied: VecDeque<LaneKey>,
}

impl<T> Lanes<T> {
    /// No lanes, and no transport.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            well: Turns::default(),
            ill: Turns::default(),
            ill_in_flight: 0,
            ill_recent: 0,
            is_new_ones_turn: true,
            silences: Silences::default(),
            suspects: BTreeMap::new(),
            suspects_in_flight: 0,
            suspects_at_once: 1,
            next_ticket: 0,
            pace: Pace::new(1),
            timers: BTreeSet::new(),
            settled: VecDeque::new(),
            forsaken: VecDeque::new(),
            given_up: GivenUp::default(),
            peer: None,
            shutting_down: false,
            next_generation: 1,
            next_batch: 0,
            requests_in_flight: 0,
            recent_requests: 0,
            effects: 0,
            bytes: 0,
            retries: 0,
            doubtful: 0,
            late: 0,
            shared: Shared::Nothing,
            over: Shared::Nothing,
            hushed: Hushed::default(),
            next_jitter: 0,
            quiet: Quiet::No,
            moved: VecDeque::new(),
            slowed: VecDeque::new(),
            alone: VecDeque::new(),
            emptied: VecDeque::new(),
        }
    }

    /// Whether more effects may be submitted; when not, whoever submits should
    /// wait.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_beside(Amount::default())
    }

    /// The same, while so much is on its way here.
    pub(crate) fn has_room_beside(&self, coming: Amount) -> bool {
        let mut held = coming;
        held += Amount {
            effects: self.effects,
            bytes: self.bytes,
        };
        held.is_below(Amount {
            effects: self.config.effects_max,
            bytes: self.config.bytes_max,
        })
    }

    /// Whether so little is held that a lane may hold more than it needs next.
    pub(crate) fn has_slack(&self) -> bool {
        self.effects < self.config.effects_max / 8 && self.bytes < self.config.bytes_max / 2
    }

    /// Whether no effect is without an outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.effects == 0
    }

    /// Whether a lane waits for what was refused for good.
    pub(crate) fn parks(&self) -> bool {
        self.config.on_rejected == OnRejected::Park
    }

    /// Whether an effect of this lane has no outcome yet.
    pub(crate) fn holds(&self, lane: &LaneKey) -> bool {
        self.by_key.contains_key(lane)
    }

    /// How much there is.
    pub(crate) fn depth(&self, now: Instant) -> Depth {
        let lanes = self.slots.iter().flatten();
        let oldest = lanes.clone().filter_map(Lane::oldest).min();
        Depth {
            lanes: self.by_key.len(),
            effects: self.effects,
            in_flight: lanes.map(Lane::in_flight).sum(),
            oldest: oldest.map_or(Duration::ZERO, |oldest| {
                now.saturating_duration_since(oldest)
            }),
            retries: self.retries,
            doubtful: self.doubtful,
            late: self.late,
        }
    }

    /// A daemon wants an effect published.
    pub(crate) fn handle_submit(&mut self, submitted: Submitted<T>) {
        self.submit(submitted, None);
    }

    /// These effects of one lane were sent together before; they go out
    /// together again, and with nothing else, so that the server knows them.
    pub(crate) fn handle_batch(&mut self, effects: impl IntoIterator<Item = Submitted<T>>) {
        let batch = self.name_batch();
        for submitted in effects {
            self.submit(submitted, Some(batch));
        }
    }

    /// What becomes of effects that are on their way here, behind one that was
    /// `settled` so; nothing if they go on.
    pub(crate) fn fate_behind(&self, settled: &Settled<T>) -> Option<Failure> {
        let failure = settled.outcome.as_ref().err()?;
        if settled.parks {
            return Some(Failure::parked(settled.id));
        }
        if failure.class.is_final() || self.config.keeping == Keeping::Outbox {
            return None;
        }
        Some(if failure.class.is_untried() {
            failure.clone()
        } else {
            Failure::behind()
        })
    }

    /// These effects were on their way here, and go nowhere.
    pub(crate) fn handle_failed(
        &mut self,
        effects: impl IntoIterator<Item = Submitted<T>>,
        failure: &Failure,
    ) {
        for submitted in effects {
            let entry = Entry::new(submitted, None);
            self.settled.push_back(entry.settle(Err(failure.clone())));
        }
    }

    /// These effects were on their way here, and are published.
    pub(crate) fn handle_published(&mut self, effects: impl IntoIterator<Item = Submitted<T>>) {
        let published = effects.into_iter().map(|it| Entry::new(it, None));
        self.settled.extend(published.map(|it| it.settle(Ok(()))));
    }

    fn name_batch(&mut self) -> BatchNumber {
        let batch = BatchNumber(self.next_batch);
        self.next_batch += 1;
        batch
    }

    fn submit(&mut self, submitted: Submitted<T>, batch: Option<BatchNumber>) {
        self.begin_use(submitted.arrived);
        let slot = self.slot_for(&submitted.effect.lane);
        let entry = Entry::new(submitted, batch);
        self.update(slot, |lanes, lane| {
            lanes.settled.extend(lane.push(entry, &lanes.config));
        });
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.pace.handle_timeout(now);
        self.quiet_timeout(now);
        while let Some(&(_, slot)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.update(slot, |lanes, lane| lanes.lane_timeout(lane, now));
        }
    }

    /// Whoever keeps the effect `id` of this lane wants it back, and all that
    /// come behind it.
    ///
    /// Returns them in order; none if it is not here or on its way right now.
    pub(crate) fn handle_withdrawn(&mut self, lane: &LaneKey, id: EffectId) -> Vec<SideEffect> {
        let Some(&slot) = self.by_key.get(lane) else {
            return Vec::new();
        };
        let entries = self.update(slot, |lanes, lane| {
            if lane.may_lose(id) {
                lanes.remember_unanswered(lane, lane.unheard);
            }
            lane.withdraw_from(id)
        });
        entries.into_iter().map(Entry::into_side_effect).collect()
    }

    /// Nothing more is sent; what is not on its way fails now.
    pub(crate) fn handle_shutdown(&mut self) {
        self.shutting_down = true;
        self.update_all(|_, _| {});
    }

    /// Waiting for answers is over; what is on its way fails now.
    pub(crate) fn handle_shutdown_deadline(&mut self) {
        self.update_all(|lanes, lane| {
            let text = "Falco is stopping; the transport has not answered yet";
            let failure = Failure::new(Class::ShuttingDown, text);
            lanes.settled.extend(lane.settle_all(failure));
        });
    }

    /// The next effect that has its outcome.
    pub(crate) fn poll_settled(&mut self) -> Option<Settled<T>> {
        self.settled.pop_front()
    }

    /// The next list of what went out together, may have been published, and was
    /// given up: told before its effects are.
    pub(crate) fn poll_forsaken(&mut self) -> Option<Vec<Uuid>> {
        self.forsaken.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lanes = self.timers.first().map(|&(due, _)| due);
        let pace = self.pace.poll_timeout();
        let all = lanes.into_iter().chain(pace).chain(self.quiet_due());
        all.min()
    }
}

#[cfg(test)]
mod tests;
