//! Lanes of the outbox that were not answered while nobody was.
//!
//! Each may be alone in its trouble, and they are too few to accuse the transport of
//! it; but if it was everybody's, it is over once anybody is answered, and they go on
//! soon, as [all do](super::signs) that the transport kept back. A lane that is alone
//! in its trouble is tried once more for that; if it is not answered while others
//! are, it waits out its pauses.
//!
//! Holds as few as it takes to accuse the transport, so that nothing is sent in
//! masses to an Ably that answers now and then: the latest.

use std::collections::VecDeque;

use crate::delivery::pace::FAILURES_MAX;
use crate::protocol::id::LaneKey;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hushed {
    lanes: VecDeque<LaneKey>,
    is_over: bool,
}

impl Hushed {
    pub(super) fn insert(&mut self, lane: &LaneKey) {
        self.lanes.retain(|known| known != lane);
        self.lanes.push_back(lane.clone());
        if FAILURES_MAX as usize <= self.lanes.len() {
            self.lanes.pop_front();
        }
    }

    /// Somebody was answered.
    pub(super) fn end(&mut self) {
        self.is_over = !self.lanes.is_empty();
    }

    /// Those that go on, if somebody was.
    pub(super) fn take(&mut self) -> VecDeque<LaneKey> {
        if std::mem::take(&mut self.is_over) {
            std::mem::take(&mut self.lanes)
        } else {
            VecDeque::new()
        }
    }
}
