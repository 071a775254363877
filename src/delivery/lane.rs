//! One lane: a queue whose front may be on its way.

mod ending;
mod front;
mod late;

use std::collections::VecDeque;
use std::time::Instant;

use super::config::Config;
use super::effect::{Entry, Place, Producer, Settled};
use super::failure::{Class, Failure};
use super::health::Health;
use super::turns::{Spent, Turn};
use crate::protocol::id::{EffectId, LaneKey};

/// Whether the front of a lane may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its turn and for the transport.
    Ready,
    /// A request is out.
    InFlight {
        since: Instant,
        answer_by: Instant,
        wait: Wait,
    },
    /// A request failed and will be repeated.
    BackingOff { retry_at: Instant },
}

/// How long the answer to a request has been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not long.
    Recent,
    /// So long that it takes no room from others; when that was looked at, and
    /// the number of the last request there was when it was found out.
    Slow { seen: Instant, last: u64 },
    /// So long that its lane stands still.
    Still,
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
    /// When this front was sent first, and how often since.
    tried: Option<(Instant, u32)>,
    /// Names the requests of this front on this connection.
    pub generation: u64,
    /// How often the front was sent on this connection.
    pub sent: u32,
    /// How many of these requests were not answered in time, or since.
    pub unheard: u32,
    /// The place of its last request among all that were sent.
    pub number: u64,
    /// How its last request fared.
    pub health: Health,
    /// How often sending the front has failed.
    pub failures: u32,
    /// How many of these count.
    attempts: u32,
    /// What kept lanes back ended while its request was out, which may be lost.
    pub is_woken: bool,
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
    /// The oldest, if it came to stand behind a younger one.
    oldest_behind: Option<Instant>,
    /// The latest arrival that was sent.
    sent_up_to: u64,
    /// Where it waits for its turn.
    pub turn: Option<Standing>,
    /// What its turns have cost so far.
    pub spent: Option<Spent>,
    /// Where the set of timers has it.
    pub timer: Option<Instant>,
}

/// A lane whose front was tried in vain, and is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuck<'a> {
    pub lane: &'a LaneKey,
    /// The first of the front.
    pub front: EffectId,
    /// When the front was sent first.
    pub since: Instant,
    /// How often it was sent.
    pub attempts: u32,
    /// Why it is not published yet.
    pub failure: &'a Failure,
    /// The effects the lane holds.
    pub effects: usize,
}

impl<T> Lane<T> {
    pub(super) fn new(key: LaneKey, health: Health) -> Self {
        Self {
            key,
            state: State::Ready,
            queue: VecDeque::new(),
            front: 0,
            tried: None,
            generation: 0,
            sent: 0,
            unheard: 0,
            number: 0,
            health,
            failures: 0,
            attempts: 0,
            is_woken: false,
            is_suspect: false,
            last_failure: None,
            alone: 0,
            full: false,
            bytes: 0,
            oldest_behind: None,
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

    /// Whether the answer to this sending of the front is waited for.
    pub(super) fn awaits(&self, sending: u32) -> bool {
        self.sent == sending && self.in_flight() > 0
    }

    /// When something is due here.
    pub(super) fn due(&self, config: &Config) -> Option<Instant> {
        let deadline = self.oldest()? + config.effect_deadline;
        Some(match self.state {
            State::Ready => deadline,
            State::InFlight { .. } => deadline.min(self.answer_due(config)?),
            State::BackingOff { retry_at } => deadline.min(retry_at),
        })
    }

    /// No more is let in before it is empty.
    pub(super) fn fill(&mut self) {
        self.full = true;
    }

    /// Whether none is let in before it is empty.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether nobody should wait for it.
    pub(super) fn stands_still(&self) -> bool {
        let wait = match self.state {
            State::InFlight { wait, .. } => wait,
            State::Ready | State::BackingOff { .. } => Wait::Recent,
        };
        let is_alone = match self.health {
            Health::Silent => true,
            Health::Refused => 1 < self.failures,
            Health::Offline | Health::Well => false,
        };
        !self.is_empty() && (wait == Wait::Still || is_alone)
    }

    /// Queues an effect, or settles it if the lane is full. It goes before none that its
    /// connection brought earlier, wherever that is by now.
    pub(super) fn push(&mut self, mut entry: Entry<T>, config: &Config) -> Option<Settled<T>> {
        let arrival = entry.place.arrival;
        entry.place.arrival = self.not_before(entry.place).unwrap_or(arrival);
        let bytes = self.bytes + entry.bytes();
        let (effects_max, bytes_max) = self.bounds(config);
        self.full |= self.queue.len() >= effects_max || bytes > bytes_max;
        if self.full {
            let failure = Failure::lane_full(self.queue.len());
            return Some(entry.settle(Err(failure)));
        }
        self.bytes = bytes;
        self.insert(entry);
        None
    }

    /// What it may hold: more while it goes on, or nobody knows whether it does.
    fn bounds(&self, config: &Config) -> (usize, usize) {
        let (effects, bytes) = (config.lane_effects_max, config.lane_bytes_max);
        if self.stands_still() {
            return (effects, bytes);
        }
        (
            effects.saturating_add(config.held_effects_max),
            bytes.saturating_add(config.held_bytes_max),
        )
    }

    /// Puts an effect where it belongs: at the end, or, if it failed and comes
    /// again, where it was, unless one that came later was sent already.
    fn insert(&mut self, mut entry: Entry<T>) {
        let latest = self.queue.back().map_or(0, |last| last.place.arrival);
        let arrival = &mut entry.place.arrival;
        let at = if *arrival >= latest || *arrival < self.sent_up_to {
            *arrival = latest.max(*arrival);
            self.queue.len()
        } else {
            let is_before = |other: &Entry<T>| other.place.arrival <= *arrival;
            self.queue.partition_point(is_before)
        };
        self.note_arrival(at, entry.arrived);
        self.queue.insert(at, entry);
    }

    /// Where that is which came last before this over its connection, if this would go
    /// before it: because that has lost its place.
    fn not_before(&self, place: Place) -> Option<u64> {
        let behind = self.queue.iter().rev();
        let mut behind = behind.take_while(|other| other.place.arrival > place.arrival);
        let own = behind.find(|other| place.is_behind(other.place));
        own.map(|own| own.place.arrival)
    }

    /// Whose effect is next.
    pub(super) fn producer(&self) -> Option<Producer> {
        self.queue.front().map(|entry| entry.place.producer)
    }

    /// Ends a pause before its time, or makes the next one short.
    pub(super) fn wake(&mut self, at: Instant) {
        match &mut self.state {
            State::BackingOff { retry_at } => *retry_at = at.min(*retry_at),
            State::InFlight { .. } => self.is_woken = true,
            State::Ready => {}
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
        self.forget_requests();
    }

    /// The bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
