//! One lane: a queue whose front may be on its way.

use std::collections::VecDeque;
use std::time::Instant;

use super::config::Config;
use super::failure::{Class, Failure};
use super::health::Health;
use super::turns::{Spent, Turn};
use crate::counted::counted;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// What of a side effect the transport is told.
#[derive(Debug)]
pub(crate) struct Effect {
    /// The daemon's name for it.
    pub id: EffectId,
    /// What makes copies of it recognisable.
    pub key: IdempotencyKey,
    /// What to do.
    pub operation: Operation,
    /// The memory it holds.
    pub bytes: usize,
}

/// A daemon's connection; lanes and gates know it by no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Producer(pub u64);

/// Where an effect stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counts arrivals. One that failed and comes again has the number it had.
    pub arrival: u64,
    /// Whose it is.
    pub producer: Producer,
}

/// What became of an effect.
pub(crate) type Outcome = Result<(), Failure>;

/// An effect that has its outcome.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    /// What was submitted with it.
    pub origin: T,
    /// Whose fate it is.
    pub id: EffectId,
    /// The fate.
    pub outcome: Outcome,
    /// Where it was.
    pub lane: LaneKey,
    /// Over which transport, if not over the chain's own.
    pub route: Option<Box<str>>,
    /// Its place there.
    pub place: Place,
    /// What it was to do.
    pub operation: Operation,
    /// Attempts that failed and counted.
    pub attempts: u32,
    /// Whether its lane waits from now on for what becomes of it.
    pub parks: bool,
}

impl<T> Settled<T> {
    /// The same, of another origin.
    pub(crate) fn of<U>(self, origin: U) -> Settled<U> {
        Settled {
            origin,
            id: self.id,
            outcome: self.outcome,
            lane: self.lane,
            route: self.route,
            place: self.place,
            operation: self.operation,
            attempts: self.attempts,
            parks: self.parks,
        }
    }
}

/// Tells batches that are made up again from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchNumber(pub u64);

/// An effect in a lane.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub effect: Effect,
    pub lane: LaneKey,
    pub route: Option<Box<str>>,
    pub place: Place,
    pub origin: T,
    pub arrived: Instant,
    /// The batch it was part of before, and has to be part of again.
    pub batch: Option<BatchNumber>,
    /// An attempt was made, and nobody can say whether it was published.
    pub is_doubtful: bool,
}

impl<T> Entry<T> {
    pub(super) fn new(
        effect: SideEffect,
        place: Place,
        origin: T,
        batch: Option<BatchNumber>,
        now: Instant,
    ) -> Self {
        Self {
            effect: Effect {
                id: effect.id,
                key: effect.key,
                operation: effect.operation,
                bytes: effect.bytes,
            },
            lane: effect.lane,
            route: effect.route,
            place,
            origin,
            arrived: now,
            batch,
            is_doubtful: false,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.effect.bytes
    }

    /// What it adds to a batch.
    fn message_bytes(&self) -> usize {
        let operation = &self.effect.operation;
        operation.body().len() + operation.name().len() + self.effect.key.len()
    }

    /// The effect as it was brought here.
    pub(super) fn into_side_effect(self) -> SideEffect {
        SideEffect {
            id: self.effect.id,
            lane: self.lane,
            route: self.route,
            key: self.effect.key,
            operation: self.effect.operation,
            bytes: self.effect.bytes,
            is_ordered: false,
        }
    }

    pub(super) fn settle(self, outcome: Outcome) -> Settled<T> {
        self.settle_after(0, outcome)
    }

    /// Nothing may say of a doubtful effect that it was not published.
    fn settle_after(self, attempts: u32, outcome: Outcome) -> Settled<T> {
        let outcome = match outcome {
            Err(failure) if self.is_doubtful => Err(failure.with_doubt()),
            outcome => outcome,
        };
        Settled {
            origin: self.origin,
            id: self.effect.id,
            outcome,
            lane: self.lane,
            route: self.route,
            place: self.place,
            operation: self.effect.operation,
            attempts,
            parks: false,
        }
    }
}

/// Whether the front of a lane may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its turn and for the transport.
    Ready,
    /// A request is out.
    InFlight {
        since: Instant,
        answer_by: Instant,
        /// It has been out for so long that it takes no room from others.
        is_slow: bool,
    },
    /// A request failed and will be repeated.
    BackingOff { retry_at: Instant },
}

/// Where a lane that may send waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Among those that may have cost us a connection.
    Suspect(u64),
    /// Among those whose last request met trouble.
    Ill(Turn),
    /// Among all others.
    InTurn(Turn),
}

/// The effects of one key, oldest first. A lane that holds none does not exist.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub key: LaneKey,
    pub state: State,
    /// The first `front` of them are, or were, in one request, and stay
    /// together until it is answered.
    queue: VecDeque<Entry<T>>,
    front: usize,
    /// Names the requests of this front on this connection.
    pub generation: u64,
    /// How often the front was sent on this connection.
    pub sent: u32,
    /// The place of its last request among all that were sent.
    pub number: u64,
    /// How its last request fared.
    pub health: Health,
    /// How often sending the front has failed.
    pub failures: u32,
    /// How many of these count.
    attempts: u32,
    /// A connection died soon after the front went out, which may be its doing.
    pub is_suspect: bool,
    last_failure: Option<Failure>,
    /// This many at the head of the queue go out one by one, because together
    /// they were rejected.
    alone: usize,
    /// It was full and has not been empty since: letting one in now would let
    /// it overtake one that was refused.
    full: bool,
    bytes: usize,
    /// The latest arrival that was sent.
    sent_up_to: u64,
    /// Where it waits for its turn.
    pub turn: Option<Standing>,
    /// What its turns have cost so far.
    pub spent: Option<Spent>,
    /// Where the set of timers has it.
    pub timer: Option<Instant>,
}

impl<T> Lane<T> {
    pub(super) fn new(key: LaneKey, health: Health) -> Self {
        Self {
            key,
            state: State::Ready,
            queue: VecDeque::new(),
            front: 0,
            generation: 0,
            sent: 0,
            number: 0,
            health,
            failures: 0,
            attempts: 0,
            is_suspect: false,
            last_failure: None,
            alone: 0,
            full: false,
            bytes: 0,
            sent_up_to: 0,
            turn: None,
            spent: None,
            timer: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many effects are on their way right now.
    pub(super) fn in_flight(&self) -> usize {
        match self.state {
            State::InFlight { .. } => self.front,
            State::Ready | State::BackingOff { .. } => 0,
        }
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.queue.front().map(|entry| entry.arrived)
    }

    /// When something is due here.
    pub(super) fn due(&self, config: &Config) -> Option<Instant> {
        let deadline = self.oldest()? + config.effect_deadline;
        Some(match self.state {
            State::Ready => deadline,
            State::InFlight {
                since,
                is_slow: false,
                ..
            } => deadline.min(since + config.slow_after),
            State::InFlight { since, .. } if self.is_suspect => {
                deadline.min(since + config.suspicion)
            }
            State::InFlight { answer_by, .. } => deadline.min(answer_by),
            State::BackingOff { retry_at } => deadline.min(retry_at),
        })
    }

    /// Queues an effect, or settles it if the lane is full.
    pub(super) fn push(&mut self, entry: Entry<T>, config: &Config) -> Option<Settled<T>> {
        let bytes = self.bytes + entry.bytes();
        self.full |= self.queue.len() >= config.lane_effects_max || bytes > config.lane_bytes_max;
        if self.full {
            let waiting = counted(self.queue.len(), "effect");
            let text = format!("its lane has {waiting} waiting already");
            return Some(entry.settle(Err(Failure::new(Class::LaneFull, text))));
        }
        self.bytes = bytes;
        self.insert(entry);
        None
    }

    /// Puts an effect where it belongs: at the end, or, if it failed and comes
    /// again, where it was, unless one that came later was sent already.
    fn insert(&mut self, mut entry: Entry<T>) {
        let latest = self.queue.back().map_or(0, |last| last.place.arrival);
        let arrival = &mut entry.place.arrival;
        if *arrival >= latest || *arrival < self.sent_up_to {
            *arrival = latest.max(*arrival);
            self.queue.push_back(entry);
            return;
        }
        let is_before = |other: &Entry<T>| other.place.arrival <= *arrival;
        let at = self.queue.partition_point(is_before);
        // Those it comes before wait no longer for that.
        if let Some(next) = self.queue.get(at) {
            entry.arrived = entry.arrived.min(next.arrived);
        }
        self.queue.insert(at, entry);
    }

    /// Whether its request went out so recently that it may have cost the
    /// connection.
    pub(super) fn is_fresh(&self, now: Instant, config: &Config) -> bool {
        matches!(self.state, State::InFlight { since, .. } if now < since + config.suspicion)
    }

    /// Puts the front on its way; what it consists of is decided the first
    /// time. Returns whether it was on its way before.
    pub(super) fn send(
        &mut self,
        batches: bool,
        (since, answer_by): (Instant, Instant),
        config: &Config,
    ) -> bool {
        let again = self.front > 0;
        if !again {
            self.front = match (batches, self.alone) {
                (true, 0) => self.batch_len(config),
                _ => 1,
            };
            self.failures = 0;
            self.attempts = 0;
            self.last_failure = None;
        }
        self.sent += 1;
        self.sent_up_to = self
            .sent_up_to
            .max(self.queue[self.front - 1].place.arrival);
        self.state = State::InFlight {
            since,
            answer_by,
            is_slow: false,
        };
        again
    }

    /// Whether its request counts against what the transport gets at once.
    pub(super) fn is_recent(&self) -> bool {
        matches!(self.state, State::InFlight { is_slow: false, .. })
    }

    /// Its request takes no room from others any more.
    pub(super) fn slow_down(&mut self) {
        if let State::InFlight { is_slow, .. } = &mut self.state {
            *is_slow = true;
        }
    }

    /// When its request went out.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        match self.state {
            State::InFlight { since, .. } => Some(since),
            State::Ready | State::BackingOff { .. } => None,
        }
    }

    /// Whose effect is next.
    pub(super) fn producer(&self) -> Option<Producer> {
        self.queue.front().map(|entry| entry.place.producer)
    }

    /// What the front weighs.
    pub(super) fn front_bytes(&self) -> usize {
        let front = self.queue.range(..self.front);
        front.map(Entry::message_bytes).sum()
    }

    /// Whether the front is one effect that may have been published.
    pub(super) fn is_doubtful(&self) -> bool {
        self.front <= 1 && self.queue.front().is_some_and(|entry| entry.is_doubtful)
    }

    /// How many of the front may have been published.
    pub(super) fn doubtful(&self) -> usize {
        let front = self.queue.range(..self.front);
        front.filter(|entry| entry.is_doubtful).count()
    }

    /// Nobody can say whether the front was published.
    fn doubt(&mut self) {
        for entry in self.queue.range_mut(..self.front) {
            entry.is_doubtful = true;
        }
    }

    /// The effects that are, or were, on their way together.
    pub(super) fn front(&self) -> Vec<&Effect> {
        let front = self.queue.range(..self.front);
        front.map(|entry| &entry.effect).collect()
    }

    /// How many effects from the head on may go out together: publishes to one
    /// channel, within the limits of a batch.
    fn batch_len(&self, config: &Config) -> usize {
        let batch = self.queue.front().and_then(|entry| entry.batch);
        if batch.is_some() {
            let channel = self
                .queue
                .front()
                .map(|entry| entry.effect.operation.channel());
            let same = self.queue.iter().take_while(|entry| {
                let operation = &entry.effect.operation;
                entry.batch == batch
                    && operation.is_publish()
                    && Some(operation.channel()) == channel
            });
            return same.count().max(1);
        }
        let mut bytes = 0;
        let mut channel = None;
        let fits = self.queue.iter().take(config.batch_messages_max);
        let fits = fits.take_while(|entry| {
            let Operation::Publish { channel: to, .. } = &entry.effect.operation else {
                return false;
            };
            if entry.batch.is_some() {
                return false;
            }
            bytes += entry.message_bytes();
            bytes <= config.batch_bytes_max && *channel.get_or_insert(to) == to
        });
        fits.count().max(1)
    }

    /// The front has been accepted.
    pub(super) fn accept(&mut self) -> impl Iterator<Item = Settled<T>> + '_ {
        self.take_front().map(|entry| entry.settle(Ok(())))
    }

    /// What the daemon is told when the transport refuses the front for good.
    pub(super) fn rejection(&self, class: Class, error: &str) -> Failure {
        let operation = self.queue.front().map(|entry| &entry.effect.operation);
        let what = match operation {
            Some(Operation::ObjectSet { .. }) => "object set",
            Some(Operation::Publish { .. }) | None => "publish",
        };
        Failure::new(class, format!("{what} rejected: {error}"))
    }

    /// The front has been refused for good. If it is several effects, none of
    /// them is settled: they go out again, each alone, to find the culprit.
    pub(super) fn reject(&mut self, failure: Failure) -> Option<Settled<T>> {
        if self.front > 1 {
            self.alone = self.front;
            self.state = State::Ready;
            self.is_suspect = false;
            self.thaw();
            return None;
        }
        let attempts = self.attempts + 1;
        let entry = self.take_front().next()?;
        Some(entry.settle_after(attempts, Err(failure)))
    }

    /// Sending the front has failed; returns how many attempts it has had by
    /// now, this one included if it `counts`.
    pub(super) fn fail(&mut self, failure: Failure, counts: bool) -> u32 {
        self.state = State::Ready;
        if failure.class == Class::Ambiguous {
            self.doubt();
        }
        self.last_failure = Some(failure);
        self.failures = self.failures.saturating_add(1);
        self.attempts += u32::from(counts);
        self.attempts
    }

    /// The front fails as `failure` says, all behind it because of that.
    pub(super) fn flush(&mut self, failure: Failure) -> impl Iterator<Item = Settled<T>> + '_ {
        let behind = Failure::new(
            Class::Throttled,
            "publish failed after retries: not sent, because an earlier effect of its lane failed",
        );
        self.settle_both(self.front.max(1), failure, behind)
    }

    /// Gives up the front and nothing else. Several effects go out again, each
    /// alone and with attempts of its own: one of them may be to blame.
    pub(super) fn give_up_front(&mut self) -> Option<Settled<T>> {
        let attempts = self.attempts;
        let reason = self.reason("it was never sent");
        let text = format!(
            "publish failed after {}: {}",
            counted(attempts, "attempt"),
            reason.text
        );
        let failure = Failure::new(reason.class, text).with_code(reason.code);
        let settled = self.reject(failure)?;
        Some(Settled {
            attempts,
            ..settled
        })
    }

    /// The front is gone as `settled`, for good; everything behind it waits for
    /// what becomes of it, and not here.
    pub(super) fn park(&mut self, settled: Settled<T>) -> impl Iterator<Item = Settled<T>> + '_ {
        let behind = self.settle_all(Failure::parked(settled.id));
        let front = Settled {
            parks: true,
            ..settled
        };
        std::iter::once(front).chain(behind)
    }

    /// Takes out an effect that is not on its way right now, and all behind it;
    /// those it was to leave with may leave in another company.
    pub(super) fn withdraw_from(&mut self, id: EffectId) -> VecDeque<Entry<T>> {
        let mut places = self.queue.iter();
        let at = places.position(|entry| entry.effect.id == id);
        let Some(at) = at.filter(|at| self.in_flight() <= *at) else {
            return VecDeque::new();
        };
        if at < self.front {
            self.thaw();
        }
        self.alone = self.alone.min(at);
        let taken = self.queue.split_off(at);
        self.bytes -= taken.iter().map(Entry::bytes).sum::<usize>();
        taken
    }

    /// Ends a pause before its time.
    pub(super) fn wake(&mut self, at: Instant) {
        if let State::BackingOff { retry_at } = &mut self.state {
            *retry_at = at.min(*retry_at);
        }
    }

    /// What became of its last request. The well and the others have a line
    /// each, and no accounts in the other.
    pub(super) fn set_health(&mut self, health: Health) {
        if self.health.is_well() != health.is_well() {
            self.spent = None;
        }
        self.health = health;
    }

    /// Pauses before the front goes out again.
    pub(super) fn back_off(&mut self, retry_at: Instant) {
        self.state = State::BackingOff { retry_at };
    }

    /// The transport goes; this costs no attempt. Nobody can say whether it
    /// published the front.
    pub(super) fn postpone(&mut self, error: &str, retry_at: Instant) {
        self.doubt();
        self.last_failure = Some(Failure::new(Class::Ambiguous, error));
        self.back_off(retry_at);
    }

    /// The connection is gone and no answer will come any more.
    pub(super) fn lose_connection(&mut self, lost: &Failure) {
        if let State::InFlight { .. } = self.state {
            self.doubt();
            self.last_failure = Some(lost.clone());
            self.state = State::Ready;
        }
        self.generation = 0;
        self.sent = 0;
    }

    /// Lets the front be decided anew: what was one request may become several.
    pub(super) fn thaw(&mut self) {
        self.front = 0;
        self.generation = 0;
        self.sent = 0;
    }

    /// Whether the front is a batch that was sent.
    pub(super) fn is_batch(&self) -> bool {
        self.front > 1
    }

    /// Gives up: the front fails for the reason it failed last, or for `unsent`
    /// if it was never sent; all behind it because of that.
    pub(super) fn give_up(&mut self, unsent: &str) -> impl Iterator<Item = Settled<T>> + '_ {
        let reason = self.reason(unsent);
        let text = format!("publish failed after retries: {}", reason.text);
        self.flush(Failure::new(reason.class, text).with_code(reason.code))
    }

    /// Why the front is not published yet, as far as one knows.
    fn reason(&mut self, unsent: &str) -> Failure {
        let known = self.last_failure.take();
        if let State::InFlight { .. } = self.state {
            self.doubt();
            return Failure::new(Class::Ambiguous, "no answer from the transport in time");
        }
        known.unwrap_or_else(|| Failure::new(Class::Throttled, unsent))
    }

    /// Fails what is not on its way, because Falco stops.
    pub(super) fn refuse_waiting(&mut self) -> impl Iterator<Item = Settled<T>> + use<T> {
        let waiting = self.queue.split_off(self.in_flight());
        self.bytes -= waiting.iter().map(Entry::bytes).sum::<usize>();
        let failure = Failure::new(Class::ShuttingDown, "Falco is stopping");
        let waiting = waiting.into_iter();
        waiting.map(move |entry| entry.settle(Err(failure.clone())))
    }

    /// Fails everything.
    pub(super) fn settle_all(&mut self, failure: Failure) -> impl Iterator<Item = Settled<T>> + '_ {
        self.settle_both(0, failure.clone(), failure)
    }

    /// Fails everything: the first `front` as `first` says, the others as
    /// `behind` does.
    fn settle_both(
        &mut self,
        front: usize,
        first: Failure,
        behind: Failure,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        self.bytes = 0;
        self.thaw();
        self.queue.drain(..).enumerate().map(move |(at, entry)| {
            let failure = if at < front { &first } else { &behind };
            entry.settle(Err(failure.clone()))
        })
    }

    fn take_front(&mut self) -> impl Iterator<Item = Entry<T>> + '_ {
        let front = self.front;
        self.alone = self.alone.saturating_sub(front);
        self.thaw();
        self.state = State::Ready;
        self.is_suspect = false;
        let taken = self.queue.range(..front).map(Entry::bytes).sum::<usize>();
        self.bytes -= taken;
        self.queue.drain(..front)
    }

    /// The bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
