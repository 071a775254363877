//! The effects that have no final answer yet, in order.

mod lanes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Failed, PublishError, Submission};
use crate::protocol::id::{EffectId, LaneKey};
use lanes::Lanes;

/// Effects a client holds without an ack; more make
/// [`Client::submit`](super::Client::submit) wait.
pub const UNACKED_MAX: usize = 4096;

/// Bytes of effects without an ack beyond which no more are taken.
pub const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many of [`UNACKED_MAX`] may be on their way to the client's task.
pub(super) const SUBMITTED_MAX: usize = 64;

/// Every effect without a final answer, and which of them this connection has
/// seen. Numbers are given in the order of submission.
#[derive(Debug, Default)]
pub(super) struct Window {
    unacked: BTreeMap<u64, Unacked>,
    by_id: HashMap<EffectId, u64>,
    next: u64,
    /// What may be put on the connection.
    ready: BTreeSet<u64>,
    /// What is sent again until it is done, by what must stay in order.
    lanes: Lanes,
    /// When to give up what is sent only once.
    patience: BTreeSet<(Instant, u64)>,
    bytes: usize,
    /// Those that are sent, and have no answer.
    sent: usize,
}

#[derive(Debug)]
struct Unacked {
    id: EffectId,
    body: Bytes,
    promise: Promise,
    is_sent: bool,
    ack: oneshot::Sender<Result<(), PublishError>>,
}

/// What was promised about an effect.
#[derive(Debug, Clone)]
pub(super) enum Promise {
    /// Its first answer is its fate, and there is one by then.
    AnsweredBy(Instant),
    /// It is sent again, in the order of its lane, until it is published or can
    /// never be.
    Delivered(LaneKey),
}

/// What goes on the connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgoing<'a> {
    pub id: EffectId,
    pub body: &'a Bytes,
    /// Whether it may only be published after what was sent before it in its
    /// lane.
    pub is_ordered: bool,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.unacked.is_empty()
    }

    /// Whether an answer is to come on this connection.
    pub(super) fn is_owed(&self) -> bool {
        self.sent > 0
    }

    /// How many more effects it takes.
    pub(super) fn room(&self) -> usize {
        if self.bytes >= UNACKED_BYTES_MAX {
            return 0;
        }
        (UNACKED_MAX - SUBMITTED_MAX).saturating_sub(self.unacked.len())
    }

    pub(super) fn push(&mut self, submission: Submission) {
        let Submission {
            id,
            body,
            promise,
            ack,
        } = submission;
        if self.by_id.contains_key(&id) {
            _ = ack.send(Err(PublishError::AlreadySubmitted));
            return;
        }
        let number = self.next;
        self.next += 1;
        self.by_id.insert(id, number);
        self.bytes += body.len();
        let may_go = match &promise {
            Promise::AnsweredBy(moment) => self.patience.insert((*moment, number)),
            Promise::Delivered(lane) => self.lanes.join(lane, number),
        };
        if may_go {
            self.ready.insert(number);
        }
        let unacked = Unacked {
            id,
            body,
            promise,
            is_sent: false,
            ack,
        };
        self.unacked.insert(number, unacked);
    }

    /// The next effect to put on the connection.
    pub(super) fn next_unsent(&mut self) -> Option<Outgoing<'_>> {
        let number = self.ready.pop_first()?;
        let unacked = self.unacked.get_mut(&number)?;
        unacked.is_sent = true;
        self.sent += 1;
        let is_ordered = match &unacked.promise {
            Promise::AnsweredBy(_) => false,
            Promise::Delivered(lane) => {
                self.lanes.sent(lane);
                true
            }
        };
        Some(Outgoing {
            id: unacked.id,
            body: &unacked.body,
            is_ordered,
        })
    }

    /// Everything has to be sent again.
    pub(super) fn handle_disconnected(&mut self, now: Instant) {
        self.lanes.handle_disconnected(now);
        self.sent = 0;
        for (number, unacked) in &mut self.unacked {
            unacked.is_sent = false;
            if !self.lanes.holds_back(&unacked.promise) {
                self.ready.insert(*number);
            }
        }
    }

    /// An answer came; one for an unknown effect, or a second one, means
    /// nothing.
    pub(super) fn handle_ack(
        &mut self,
        id: EffectId,
        fate: Result<(), Failed>,
        now: Instant,
        jitter: f64,
    ) {
        let Some(&number) = self.by_id.get(&id) else {
            return;
        };
        let unacked = self.unacked.get_mut(&number);
        let Some(unacked) = unacked.filter(|unacked| unacked.is_sent) else {
            return;
        };
        let Promise::Delivered(lane) = &unacked.promise else {
            self.settle(number, fate.map_err(PublishError::Failed));
            return;
        };
        let lane = lane.clone();
        match fate {
            Err(failed) if !failed.is_rejected() => {
                unacked.is_sent = false;
                self.sent -= 1;
                self.lanes.failed(&lane, now, jitter);
                self.hold_back(&lane);
            }
            fate => {
                self.lanes.done(&lane, number);
                self.settle(number, fate.map_err(PublishError::Failed));
            }
        }
        self.resume(&lane, now);
    }

    /// Gives up what waits for too long, and lets go on what paused for long
    /// enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(moment, number)) = self.patience.first().filter(|(at, _)| *at <= now) {
            self.patience.remove(&(moment, number));
            self.settle(number, Err(PublishError::TimedOut));
        }
        for lane in self.lanes.handle_timeout(now) {
            self.resume(&lane, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let patience = self.patience.first().map(|&(moment, _)| moment);
        patience.into_iter().chain(self.lanes.poll_timeout()).min()
    }

    /// What is behind a failure waits with it.
    fn hold_back(&mut self, lane: &LaneKey) {
        for number in self.lanes.members(lane) {
            self.ready.remove(&number);
        }
    }

    /// Sends again what a lane held back, if its pause is over.
    fn resume(&mut self, lane: &LaneKey, now: Instant) {
        if !self.lanes.resume(lane, now) {
            return;
        }
        let unsent = self.lanes.members(lane).filter(|number| {
            let unacked = self.unacked.get(number);
            unacked.is_some_and(|unacked| !unacked.is_sent)
        });
        self.ready.extend(unsent);
    }

    fn settle(&mut self, number: u64, fate: Result<(), PublishError>) {
        let Some(unacked) = self.unacked.remove(&number) else {
            return;
        };
        self.by_id.remove(&unacked.id);
        self.ready.remove(&number);
        self.bytes -= unacked.body.len();
        self.sent -= usize::from(unacked.is_sent);
        if let Promise::AnsweredBy(moment) = unacked.promise {
            self.patience.remove(&(moment, number));
        }
        _ = unacked.ack.send(fate);
    }
}

#[cfg(test)]
mod tests;
