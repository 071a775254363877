//! Stories, checked against the simplest thing that could be right: one list of
//! open effects for each lane.
//!
//! Compiled for tests and fuzzers only; who tells the story says what time it is.

mod checks;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::*;
use crate::delivery::{Place, Producer, Refusal, RequestId};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

/// Something that happens.
#[derive(Debug, Clone)]
pub(in crate::delivery) enum Step {
    Submit {
        lane: u8,
        channel: u8,
        object: bool,
        bytes: usize,
        /// How long it was held up on its way, in milliseconds.
        held_up: u64,
    },
    Send,
    Answer {
        which: usize,
        with: With,
    },
    Pass {
        ms: u64,
    },
    Connect {
        batches: bool,
    },
    Disconnect,
    /// An effect of this lane found no room elsewhere.
    Full {
        lane: u8,
    },
    /// Falco stops.
    Stop,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::delivery) enum With {
    Ok,
    Rejected,
    Throttled,
    Ambiguous,
    /// Ably could not take it.
    Refused,
    /// The transport has no connection to Ably.
    Offline,
}

/// A request that went out, and how it was answered so far.
struct Sent {
    id: RequestId,
    lane: u8,
    effects: Vec<u32>,
    connection: u32,
    is_answered: bool,
}

/// What the outside knows.
pub(in crate::delivery) struct Model {
    lanes: Lanes<u8>,
    now: Instant,
    config: Config,
    connection: u32,
    connected: bool,
    next: u32,
    /// Open effects, oldest first.
    open: BTreeMap<u8, Vec<u32>>,
    arrived: HashMap<u32, Instant>,
    sent: Vec<Sent>,
    /// The one request of each lane that may be answered with effect.
    live: HashMap<u8, RequestId>,
    /// Effects some transport accepted.
    accepted: Vec<u32>,
    /// Whether every sending is answered once at most, as transports do.
    answers_once: bool,
    settled: usize,
    /// Lanes that stand still, as far as one was told.
    still: BTreeSet<LaneKey>,
    /// Lanes that refuse what comes, until one is told that they are empty.
    full: BTreeSet<u8>,
}

fn number(id: EffectId) -> u32 {
    u32::from_le_bytes(id.as_bytes()[..4].try_into().expect("four"))
}

impl Model {
    pub(in crate::delivery) fn new(config: Config, now: Instant) -> Self {
        Self {
            lanes: Lanes::new(config.clone()),
            now,
            config,
            connection: 0,
            connected: false,
            next: 0,
            open: BTreeMap::new(),
            arrived: HashMap::new(),
            sent: Vec::new(),
            live: HashMap::new(),
            accepted: Vec::new(),
            answers_once: false,
            settled: 0,
            still: BTreeSet::new(),
            full: BTreeSet::new(),
        }
    }

    /// Its transports answer every sending once at most.
    #[cfg(test)]
    pub(in crate::delivery) fn answering_once(self, answers_once: bool) -> Self {
        Self {
            answers_once,
            ..self
        }
    }

    pub(in crate::delivery) fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit {
                lane,
                channel,
                object,
                bytes,
                held_up,
            } => {
                let held_up = Duration::from_millis(held_up);
                let arrived = self.now.checked_sub(held_up).expect("a time");
                self.submit(lane, channel, object, bytes, arrived);
                self.wake();
            }
            Step::Send => self.send(),
            Step::Answer { which, with } => self.answer(which, with),
            Step::Pass { ms } => self.pass(Duration::from_millis(ms)),
            Step::Connect { batches } if !self.connected => {
                self.connected = true;
                self.connection += 1;
                self.lanes.handle_connected(Peer { batches, window: 3 });
            }
            Step::Disconnect if self.connected => {
                self.connected = false;
                self.live.clear();
                self.lanes.handle_disconnected(self.now);
            }
            Step::Connect { .. } | Step::Disconnect => {}
            Step::Full { lane } => self.fill(lane),
            Step::Stop => self.lanes.handle_shutdown(),
        }
        self.settle();
    }

    fn fill(&mut self, lane: u8) {
        let key = LaneKey::new(lane.to_string());
        if self.lanes.holds(&key) {
            self.full.insert(lane);
        }
        self.lanes.handle_full(&key);
    }

    fn submit(&mut self, lane: u8, channel: u8, object: bool, bytes: usize, arrived: Instant) {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.next.to_le_bytes());
        let id = EffectId::from_bytes(id);
        let channel = channel.to_string().into();
        let body = Bytes::from(vec![0; bytes]);
        let operation = if object {
            Operation::ObjectSet {
                channel,
                key: "k".into(),
                value: body.into(),
            }
        } else {
            Operation::Publish {
                channel,
                event: "e".into(),
                payload: body.into(),
            }
        };
        let effect = SideEffect {
            id,
            lane: LaneKey::new(lane.to_string()),
            route: None,
            key: IdempotencyKey::Uuid(id.as_uuid()),
            operation,
            bytes,
            is_ordered: false,
        };
        self.open.entry(lane).or_default().push(self.next);
        self.arrived.insert(self.next, arrived);
        self.next += 1;
        let place = Place::new(u64::from(self.next), Producer(0));
        self.lanes
            .handle_submit(Submitted::new(effect, place, lane, arrived));
    }

    /// A request is the front of a lane that has none out, within the limits.
    fn send(&mut self) {
        let Some(request) = self.lanes.poll_request(self.now) else {
            return;
        };
        assert!(self.connected);
        let effects: Vec<u32> = request.effects.iter().map(|e| number(e.id)).collect();
        let open = self
            .open
            .iter()
            .find(|(_, open)| open.starts_with(&effects));
        let (&lane, _) = open.expect("a request is the front of a lane");
        assert!(effects.len() <= self.config.batch_messages_max);
        if effects.len() > 1 {
            let channel = request.effects[0].operation.channel();
            for effect in &request.effects {
                assert_eq!(effect.operation.channel(), channel);
                assert!(matches!(effect.operation, Operation::Publish { .. }));
            }
        }
        let is_known = effects.iter().any(|e| self.accepted.contains(e));
        assert!(!is_known || !self.answers_once, "it is published");
        let id = request.id;
        assert_eq!(self.live.insert(lane, id), None, "one in flight per lane");
        assert!(self.live.len() <= 3, "no more than the peer takes");
        let again = self
            .sent
            .iter()
            .rev()
            .find(|sent| sent.lane == lane && sent.effects[0] == effects[0]);
        if let Some(before) = again.filter(|before| before.id.generation == id.generation) {
            assert_eq!(before.effects, effects, "a front is sent again as it was");
        }
        self.sent.push(Sent {
            id,
            lane,
            effects,
            connection: self.connection,
            is_answered: false,
        });
    }

    fn answer(&mut self, which: usize, with: With) {
        let on_this: Vec<usize> = (0..self.sent.len())
            .filter(|at| self.connected && self.sent[*at].connection == self.connection)
            .collect();
        let Some(&at) = on_this.get(which % on_this.len().max(1)) else {
            return;
        };
        let Sent { id, lane, .. } = self.sent[at];
        if std::mem::replace(&mut self.sent[at].is_answered, true) && self.answers_once {
            return;
        }
        if with == With::Ok {
            self.accepted.extend(&self.sent[at].effects);
            self.lanes.handle_accepted(id);
        } else {
            let refusal = Refusal {
                error: "no",
                code: match with {
                    With::Throttled => Some(42_910),
                    With::Refused => Some(50_000),
                    With::Offline => Some(80_003),
                    With::Ok | With::Rejected | With::Ambiguous => None,
                },
                retryable: Some(with != With::Rejected),
            };
            self.lanes.handle_refused(id, &refusal, self.now);
        }
        // An acceptance also resolves a later request for the same effects.
        let front = |live: &RequestId| live.generation == id.generation;
        let resolves = with == With::Ok || self.live.get(&lane) == Some(&id);
        if resolves && self.live.get(&lane).is_some_and(front) {
            self.live.remove(&lane);
        }
        if with == With::Ok && self.is_part(lane, at) {
            self.forget_timed_out();
        }
    }

    /// Whether what is on its way in this lane went out together before, like this.
    fn is_part(&self, lane: u8, before: usize) -> bool {
        let live = self.live.get(&lane);
        let sent = self.sent.iter().find(|sent| Some(&sent.id) == live);
        let effects = sent.map(|sent| &sent.effects);
        let before = &self.sent[before].effects;
        effects.is_some_and(|effects| effects.iter().all(|effect| before.contains(effect)))
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.lanes.poll_timeout().filter(|due| *due <= until) {
            assert!(due >= self.now, "no timer is left behind");
            self.now = due;
            self.wake();
            self.settle();
        }
        self.now = until;
    }

    /// Something may be due now.
    fn wake(&mut self) {
        self.lanes.handle_timeout(self.now);
        self.forget_timed_out();
    }

    /// A request whose time is over is not live any more.
    fn forget_timed_out(&mut self) {
        let lanes = &self.lanes.slots;
        self.live.retain(|_, id| {
            lanes[id.slot as usize]
                .as_ref()
                .is_some_and(|lane| lane.generation == id.generation && lane.in_flight() > 0)
        });
    }

    /// With a transport that works, everything is published.
    pub(in crate::delivery) fn finish(&mut self) {
        self.step(&Step::Connect { batches: true });
        for _ in 0..10_000 {
            self.pass(Duration::from_millis(600));
            self.send();
            if let Some(at) = self.sent.iter().rposition(|sent| {
                sent.connection == self.connection && self.live.get(&sent.lane) == Some(&sent.id)
            }) {
                let id = self.sent[at].id;
                let lane = self.sent[at].lane;
                self.accepted.extend(&self.sent[at].effects);
                self.lanes.handle_accepted(id);
                self.live.remove(&lane);
            }
            self.settle();
            if self.lanes.is_empty() {
                break;
            }
        }
        assert!(self.lanes.is_empty());
        assert_eq!(self.lanes.poll_timeout(), None);
        assert_eq!(self.settled, self.next as usize);
    }
}

/// Room for little, so that stories reach the bounds.
pub(in crate::delivery) fn small(on_rejected: OnRejected) -> Config {
    Config {
        on_rejected,
        lane_effects_max: 12,
        lane_bytes_max: 200,
        held_effects_max: 4,
        held_bytes_max: 100,
        batch_messages_max: 4,
        // A key alone is 36 of them, and a batch is to have several.
        batch_bytes_max: 200,
        ..Config::default()
    }
}
