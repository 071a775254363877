//! What must stay in order while it is sent again.
//!
//! ```text
//! Flowing ──an effect failed──▶ Paused ──all answers are in, and the pause is over──▶ Flowing
//! ```
//!
//! While a lane is paused nothing of it is sent: what failed and what is behind
//! it go out together, in order, once no answer is outstanding that could still
//! say that something behind the failure was published.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::Promise;
use crate::backoff::Backoff;
use crate::protocol::id::LaneKey;

/// Pauses of a lane whose effects fail, until one of them does not.
///
/// Falco has tried for seconds before it says that an effect failed, so the
/// first pause may be short.
const PAUSE: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(10),
};

/// The lanes that hold an effect.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
    pauses: BTreeSet<(Instant, LaneKey)>,
}

#[derive(Debug, Default)]
struct Lane {
    members: BTreeSet<u64>,
    /// Sent and not answered, on this connection.
    unanswered: usize,
    /// Pauses since the last success.
    failures: u32,
    flow: Flow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Flow {
    #[default]
    Flowing,
    Paused {
        until: Instant,
    },
}

impl Lanes {
    /// An effect comes; whether it may be sent.
    pub(super) fn join(&mut self, key: &LaneKey, number: u64) -> bool {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.members.insert(number);
        lane.flow == Flow::Flowing
    }

    /// An effect was put on the connection.
    pub(super) fn sent(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.unanswered += 1;
        }
    }

    /// An effect failed and has to be sent again.
    pub(super) fn failed(&mut self, key: &LaneKey, now: Instant, jitter: f64) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        lane.unanswered -= 1;
        if lane.flow == Flow::Flowing {
            let until = now + PAUSE.delay(lane.failures, jitter);
            lane.failures = lane.failures.saturating_add(1);
            lane.flow = Flow::Paused { until };
            self.pauses.insert((until, key.clone()));
        }
    }

    /// An effect has its fate.
    pub(super) fn done(&mut self, key: &LaneKey, number: u64) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        lane.unanswered -= 1;
        lane.failures = 0;
        lane.members.remove(&number);
        if lane.members.is_empty() {
            if let Flow::Paused { until } = lane.flow {
                self.pauses.remove(&(until, key.clone()));
            }
            self.lanes.remove(key);
        }
    }

    /// No answer comes any more to what was sent.
    pub(super) fn handle_disconnected(&mut self, now: Instant) {
        for (key, lane) in &mut self.lanes {
            lane.unanswered = 0;
            match lane.flow {
                Flow::Paused { until } if until <= now => {
                    lane.flow = Flow::Flowing;
                    self.pauses.remove(&(until, key.clone()));
                }
                Flow::Paused { .. } | Flow::Flowing => {}
            }
        }
    }

    /// Whether what was promised so must not be sent now.
    pub(super) fn holds_back(&self, promise: &Promise) -> bool {
        let Promise::Delivered(key) = promise else {
            return false;
        };
        let lane = self.lanes.get(key);
        lane.is_some_and(|lane| lane.flow != Flow::Flowing)
    }

    /// The lanes whose pause is over.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<LaneKey> {
        let mut over = Vec::new();
        while let Some((until, key)) = self.pauses.pop_first() {
            if until > now {
                self.pauses.insert((until, key));
                break;
            }
            over.push(key);
        }
        over
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pauses.first().map(|&(until, _)| until)
    }

    /// Ends a pause if it can end; whether it did.
    pub(super) fn resume(&mut self, key: &LaneKey, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(key) else {
            return false;
        };
        match lane.flow {
            Flow::Paused { until } if until <= now && lane.unanswered == 0 => {
                lane.flow = Flow::Flowing;
                self.pauses.remove(&(until, key.clone()));
                true
            }
            Flow::Paused { .. } | Flow::Flowing => false,
        }
    }

    /// The effects of a lane, in order.
    pub(super) fn members(&self, key: &LaneKey) -> impl Iterator<Item = u64> + '_ {
        let lane = self.lanes.get(key);
        lane.into_iter()
            .flat_map(|lane| lane.members.iter().copied())
    }
}
