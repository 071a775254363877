//! All lanes, and whose turn it is.

mod books;
mod line;
mod signs;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::config::{Config, Keeping, OnRejected};
use super::failure::{Class, Failure, Refusal};
use super::health::{Health, Shared, Silences};
use super::lane::{BatchNumber, Entry, Lane, Place, Settled, State};
use super::pace::Pace;
use super::request::{Request, RequestId};
use super::turns::Turns;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};

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
}

/// Who may have cost us a connection.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Suspects were in flight, so nobody else is accused.
    narrows: bool,
    accused: usize,
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
    /// What keeps lanes back, as far as it is known.
    shared: Shared,
    /// What of that is over, and they have not been told.
    over: Shared,
    next_jitter: u32,
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
            shared: Shared::Nothing,
            over: Shared::Nothing,
            next_jitter: 0,
        }
    }

    /// Whether more effects may be submitted; when not, whoever submits should
    /// wait.
    pub(crate) fn has_room(&self) -> bool {
        self.effects < self.config.effects_max && self.bytes < self.config.bytes_max
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
        }
    }

    /// A daemon wants `effect` published.
    pub(crate) fn handle_submit(
        &mut self,
        effect: SideEffect,
        place: Place,
        origin: T,
        now: Instant,
    ) {
        self.submit(effect, place, origin, None, now);
    }

    /// These effects of one lane were sent together before; they go out
    /// together again, and with nothing else, so that the server knows them.
    pub(crate) fn handle_batch(
        &mut self,
        effects: impl IntoIterator<Item = (SideEffect, Place, T)>,
        now: Instant,
    ) {
        let batch = BatchNumber(self.next_batch);
        self.next_batch += 1;
        for (effect, place, origin) in effects {
            self.submit(effect, place, origin, Some(batch), now);
        }
    }

    /// These effects of a lane were on their way here when it was parked because
    /// of `by`: they share the fate of what was here.
    pub(crate) fn handle_parked(
        &mut self,
        by: EffectId,
        effects: impl IntoIterator<Item = (SideEffect, Place, T)>,
        now: Instant,
    ) {
        for (effect, place, origin) in effects {
            let entry = Entry::new(effect, place, origin, None, now);
            self.settled
                .push_back(entry.settle(Err(Failure::parked(by))));
        }
    }

    fn submit(
        &mut self,
        effect: SideEffect,
        place: Place,
        origin: T,
        batch: Option<BatchNumber>,
        now: Instant,
    ) {
        let slot = self.slot_for(&effect.lane);
        let entry = Entry::new(effect, place, origin, batch, now);
        self.update(slot, |lanes, lane| {
            lanes.settled.extend(lane.push(entry, &lanes.config));
        });
    }

    /// The transport is connected, or a connected one said what it can do.
    pub(crate) fn handle_connected(&mut self, peer: Peer) {
        self.peer = Some(peer);
        if peer.batches {
            return;
        }
        self.update_all(|_, lane| {
            if lane.is_batch() && lane.in_flight() == 0 {
                lane.thaw();
            }
        });
    }

    /// The connection to the transport is gone; what was on its way goes out
    /// again, first in its lane, as soon as there is another.
    ///
    /// What had just gone out may be why it is gone. These suspects are tried
    /// again a few at a time, and whoever is in flight when the next connection
    /// dies is suspected alone; the others are free. Nobody waits for a suspect
    /// but suspects. The last one pays for the next connections with its
    /// attempts.
    pub(crate) fn handle_disconnected(&mut self, now: Instant) {
        self.peer = None;
        self.shared = Shared::Transport;
        self.pace.handle_outage();
        let trial = self.trial(now);
        self.suspects_at_once = trial.accused.isqrt().max(1);
        self.update_all(|lanes, lane| lanes.lose_connection(lane, trial, now));
    }

    /// Who may have cost us the connection that is gone now.
    fn trial(&self, now: Instant) -> Trial {
        let lanes = self.slots.iter().flatten();
        let fresh = lanes.filter(|lane| lane.is_fresh(now, &self.config));
        let (suspects, others): (Vec<_>, Vec<_>) = fresh.partition(|lane| lane.is_suspect);
        let narrows = !suspects.is_empty();
        let accused = if narrows { suspects } else { others };
        Trial {
            narrows,
            accused: accused.len(),
        }
    }

    fn lose_connection(&mut self, lane: &mut Lane<T>, trial: Trial, now: Instant) {
        let was_suspect = lane.is_suspect;
        let is_accused = lane.is_fresh(now, &self.config) && (was_suspect || !trial.narrows);
        if trial.accused > 0 {
            lane.is_suspect = is_accused;
        }
        let lost = Failure::new(Class::Ambiguous, "connection to the transport lost");
        lane.lose_connection(&lost);
        if is_accused && was_suspect && trial.accused == 1 {
            self.attempt_failed(lane, lost, true, now);
        }
    }

    /// The transport has accepted a request.
    ///
    /// It may be late: whatever was decided since, what is accepted need not be
    /// sent again.
    pub(crate) fn handle_accepted(&mut self, id: RequestId) {
        if !self.knows(id) {
            return;
        }
        self.update(id.slot, |lanes, lane| {
            let before = lanes.settled.len();
            lanes.settled.extend(lane.accept());
            lanes.take_life(lane, lanes.settled.len() - before);
        });
    }

    /// The transport has refused a request, or could not carry it out.
    ///
    /// Late, it means nothing: the attempt was given up already.
    pub(crate) fn handle_refused(&mut self, id: RequestId, refusal: &Refusal<'_>, now: Instant) {
        if !self.knows(id) {
            return;
        }
        self.update(id.slot, |lanes, lane| {
            if lane.sent != id.attempt || lane.in_flight() == 0 {
                return;
            }
            lane.is_suspect = false;
            lanes.take_refusal(lane, refusal, now);
            if refusal.is_goodbye() {
                lane.postpone(refusal.error, now + lanes.config.retry.base);
                return;
            }
            let code = refusal.code();
            match refusal.class() {
                class if class.is_final() => {
                    let failure = lane.rejection(class, refusal.error).with_code(code);
                    lanes.reject(lane, failure);
                }
                class => {
                    let failure = Failure::new(class, refusal.error).with_code(code);
                    lanes.attempt_failed(lane, failure, refusal.is_from_ably(), now);
                }
            }
        });
    }

    /// A request is longer than what the transport reads; it was not sent.
    pub(crate) fn handle_too_large(&mut self, id: RequestId, bytes: usize, bytes_max: usize) {
        let text = format!("a request of {bytes} bytes is over the transport's {bytes_max}");
        self.update(id.slot, |lanes, lane| {
            lanes.reject(lane, Failure::new(Class::TooLarge, text));
        });
    }

    /// What waits behind an effect that fails for good goes on, or its lane is
    /// parked. It does not go on if an earlier attempt may have been published,
    /// because then the effect may come again.
    fn reject(&mut self, lane: &mut Lane<T>, failure: Failure) {
        let skips = self.config.on_rejected == OnRejected::Skip;
        if skips && lane.is_doubtful() && self.config.keeping == Keeping::Daemon {
            self.settled.extend(lane.flush(failure));
        } else {
            let settled = lane.reject(failure);
            self.end_front(lane, settled);
        }
    }

    /// The front is gone for good, unless it is taken apart first.
    fn end_front(&mut self, lane: &mut Lane<T>, settled: Option<Settled<T>>) {
        match (settled, self.config.on_rejected) {
            (None, _) => {}
            (Some(settled), OnRejected::Skip) => self.settled.push_back(settled),
            (Some(settled), OnRejected::Park) => self.settled.extend(lane.park(settled)),
        }
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.pace.handle_timeout(now);
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
        let entries = self.update(slot, |_, lane| lane.withdraw_from(id));
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

    /// The next request to send, if the transport may get one.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<Request<'_>> {
        self.wake(now);
        let (peer, slot, timeout) = self.next_turn(now)?;
        let times = (now, now + timeout + self.config.answer_margin);
        let id = self.update(slot, |lanes, lane| {
            let again = lane.send(peer.batches, times, &lanes.config);
            lanes.retries += u64::from(again);
            lanes.doubtful += lane.doubtful() as u64;
            lane.number = lanes.pace.handle_sent(now);
            lanes.spend_turn(lane);
            if lane.generation == 0 {
                lane.generation = lanes.next_generation;
                lanes.next_generation += 1;
            }
            let (generation, attempt) = (lane.generation, lane.sent);
            RequestId {
                slot,
                generation,
                attempt,
            }
        });
        let lane = self.slots[slot as usize].as_ref()?;
        let effects = lane.front();
        Some(Request {
            id,
            timeout,
            effects,
        })
    }

    /// Which lane sends next, and how patient it can be. Those whose time is
    /// as good as over are given up on the way.
    fn next_turn(&mut self, now: Instant) -> Option<(Peer, u32, Duration)> {
        let peer = self.peer.filter(|_| !self.shutting_down)?;
        while self.requests_in_flight < peer.window && self.pace.may_send(self.recent_requests) {
            let slot = self.next_in_line(peer)?;
            let lane = self.slots[slot as usize].as_ref()?;
            let deadline = lane.oldest()? + self.config.effect_deadline;
            let left = deadline.saturating_duration_since(now);
            if left >= self.config.patience_min {
                let timeout = left.saturating_sub(self.config.answer_margin);
                return Some((peer, slot, timeout.min(self.config.attempt_timeout)));
            }
            self.update(slot, Self::give_up);
        }
        None
    }

    /// The next effect that has its outcome.
    pub(crate) fn poll_settled(&mut self) -> Option<Settled<T>> {
        self.settled.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lanes = self.timers.first().map(|&(due, _)| due);
        lanes.into_iter().chain(self.pace.poll_timeout()).min()
    }

    fn lane_timeout(&mut self, lane: &mut Lane<T>, now: Instant) {
        let deadline = lane
            .oldest()
            .map(|oldest| oldest + self.config.effect_deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.give_up(lane);
            return;
        }
        match lane.state {
            State::InFlight { answer_by, .. } if answer_by <= now => {
                let text = format!("no answer within {:?}", self.config.attempt_timeout);
                let failure = Failure::new(Class::Ambiguous, text);
                self.take_trouble(lane, Health::Silent, now);
                self.attempt_failed(lane, failure, false, now);
            }
            State::InFlight { since, .. } if lane.is_recent() => {
                if since + self.config.slow_after <= now {
                    lane.slow_down();
                }
            }
            // The connection has survived it for so long: it is not the culprit.
            State::InFlight { .. } if !lane.is_fresh(now, &self.config) => lane.is_suspect = false,
            State::BackingOff { retry_at } if retry_at <= now => {
                if lane.failures == 0 || self.pace.try_retry(now) {
                    lane.state = State::Ready;
                } else {
                    lane.back_off(now + self.config.slow_after);
                }
            }
            State::InFlight { .. } | State::BackingOff { .. } | State::Ready => {}
        }
    }

    /// An attempt has failed; `was_refused` if Ably itself said so.
    fn attempt_failed(
        &mut self,
        lane: &mut Lane<T>,
        failure: Failure,
        was_refused: bool,
        now: Instant,
    ) {
        let is_kept = self.config.keeping == Keeping::Outbox;
        let counts = was_refused || !is_kept;
        if lane.fail(failure, counts) < self.config.attempts_max {
            lane.back_off(now + self.config.pause(lane.failures, self.next_jitter));
            self.next_jitter = self.next_jitter.wrapping_add(1);
        } else {
            self.give_up(lane);
        }
    }

    fn give_up(&mut self, lane: &mut Lane<T>) {
        if self.config.keeping == Keeping::Outbox {
            let settled = lane.give_up_front();
            return self.end_front(lane, settled);
        }
        let unsent = match self.peer {
            Some(_) => "its turn did not come in time",
            None => "transport not available in time",
        };
        self.settled.extend(lane.give_up(unsent));
    }

    /// Whether the request belongs to what its lane has in front now.
    fn knows(&self, id: RequestId) -> bool {
        let lane = self.slots.get(id.slot as usize).and_then(Option::as_ref);
        lane.is_some_and(|lane| {
            lane.generation == id.generation && (1..=lane.sent).contains(&id.attempt)
        })
    }
}

#[cfg(test)]
mod tests;
