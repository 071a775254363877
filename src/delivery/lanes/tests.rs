mod apart;
mod batches;
mod bounds;
mod failing;
mod few;
mod given_up;
mod kept;
mod late;
mod model;
mod parked;
mod silent;
mod still;
mod transport;
mod turns;

use bytes::Bytes;

use super::*;
use crate::delivery::{Place, Producer, Refusal, RequestId};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

const OURS: Peer = Peer {
    batches: true,
    window: 1000,
};
const OLD: Peer = Peer {
    batches: false,
    window: 8,
};
const AWAY_AND_BACK: Duration = Duration::from_millis(10);

fn id(n: u8) -> EffectId {
    EffectId::from_bytes([n; 16])
}

fn publish_to(lane: &str, channel: &str, n: u8, bytes: usize) -> SideEffect {
    SideEffect {
        id: id(n),
        lane: LaneKey::new(lane),
        route: None,
        key: IdempotencyKey::Uuid(id(n).as_uuid()),
        operation: Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload: Bytes::from(vec![b'x'; bytes]).into(),
        },
        bytes,
        is_ordered: false,
    }
}

fn publish(lane: &str, n: u8) -> SideEffect {
    publish_to(lane, lane, n, 1)
}

fn object_set(lane: &str, n: u8) -> SideEffect {
    SideEffect {
        operation: Operation::ObjectSet {
            channel: lane.into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        },
        ..publish(lane, n)
    }
}

/// Lanes, a clock, and what is seen of the outside.
struct Story {
    lanes: Lanes<()>,
    arrivals: u64,
    now: Instant,
}

impl Story {
    fn new(config: Config, peer: Option<Peer>) -> Self {
        let mut lanes = Lanes::new(config);
        if let Some(peer) = peer {
            lanes.handle_connected(peer);
        }
        // As after a while without trouble.
        for _ in 0..100 {
            lanes.pace.handle_success(1);
        }
        let now = Instant::now();
        Self {
            lanes,
            arrivals: 0,
            now,
        }
    }

    fn with(peer: Peer, effects: impl IntoIterator<Item = SideEffect>) -> Self {
        let mut story = Self::new(Config::default(), Some(peer));
        story.submit(effects);
        story
    }

    fn submit(&mut self, effects: impl IntoIterator<Item = SideEffect>) {
        for effect in effects {
            self.arrivals += 1;
            self.submit_at(self.arrivals, effect);
        }
    }

    fn submit_at(&mut self, arrival: u64, effect: SideEffect) {
        let producer = Producer(0);
        let place = Place::new(arrival, producer);
        self.lanes
            .handle_submit(Submitted::new(effect, place, (), self.now));
    }

    /// The next request, as its id and the effects in it.
    fn request(&mut self) -> Option<(RequestId, Vec<u8>)> {
        let request = self.lanes.poll_request(self.now)?;
        let effects = request.effects.iter();
        Some((request.id, effects.map(|e| e.id.as_bytes()[0]).collect()))
    }

    fn expect_request(&mut self, effects: &[u8]) -> RequestId {
        let (id, sent) = self.request().expect("a request");
        assert_eq!(sent, effects);
        id
    }

    fn refuse(&mut self, id: RequestId, error: &str, retryable: bool) {
        let refusal = Refusal {
            error,
            code: None,
            retryable: Some(retryable),
        };
        self.lanes.handle_refused(id, &refusal, self.now);
    }

    /// Lets time pass, waking the lanes exactly when they ask for it.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.lanes.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.lanes.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Everything settled since last asked: which, and the error's text.
    fn settled(&mut self) -> Vec<(u8, Option<String>)> {
        let mut all = Vec::new();
        while let Some(settled) = self.lanes.poll_settled() {
            let error = settled.outcome.err().map(|failure| failure.to_string());
            all.push((settled.id.as_bytes()[0], error));
        }
        all
    }

    fn expect_published(&mut self, effects: &[u8]) {
        let expected: Vec<_> = effects.iter().map(|n| (*n, None)).collect();
        assert_eq!(self.settled(), expected);
    }

    fn expect_failed(&mut self, effects: &[u8], text: &str) {
        for n in effects {
            let settled = self.lanes.poll_settled().expect("settled");
            assert_eq!(settled.id, id(*n));
            let error = settled.outcome.expect_err("failed").to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    fn expect_nothing_left(&mut self) {
        assert_eq!(self.settled(), []);
        assert!(self.request().is_none());
        assert_eq!(self.lanes.poll_timeout(), None);
        assert_eq!(self.lanes.depth(self.now).effects, 0);
        assert!(self.lanes.is_empty() && self.lanes.has_room());
        assert_eq!((self.lanes.bytes, self.lanes.requests_in_flight), (0, 0));
        assert_eq!(self.lanes.recent_requests, 0);
    }
}
