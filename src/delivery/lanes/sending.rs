//! The next request: which lane, what of it, and how patient it can be.

use std::time::{Duration, Instant};

use super::{Lanes, Peer};
use crate::delivery::request::{Request, RequestId};

impl<T> Lanes<T> {
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
            let deadline = lane.oldest_next()? + self.config.effect_deadline;
            let left = deadline.saturating_duration_since(now);
            if left >= self.config.patience_min {
                let timeout = left.saturating_sub(self.config.answer_margin);
                return Some((peer, slot, timeout.min(self.config.attempt_timeout)));
            }
            self.update(slot, Self::give_up);
        }
        None
    }
}
