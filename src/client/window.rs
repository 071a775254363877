//! The effects that have no ack yet, in order.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{PublishError, Submission};
use crate::protocol::id::EffectId;

/// Effects a client holds without an ack; more make
/// [`Client::submit`](super::Client::submit) wait.
pub const UNACKED_MAX: usize = 4096;

/// Bytes of effects without an ack beyond which no more are taken.
pub const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many of [`UNACKED_MAX`] may be on their way to the client's task.
pub(super) const SUBMITTED_MAX: usize = 64;

/// Every effect without an ack, and how many of them this connection has seen.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// By the order of their submission.
    unacked: BTreeMap<u64, Unacked>,
    by_id: HashMap<EffectId, u64>,
    next: u64,
    /// What has a smaller number is on its way.
    unsent: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Unacked {
    id: EffectId,
    body: Bytes,
    give_up_at: Instant,
    ack: oneshot::Sender<Result<(), PublishError>>,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.unacked.is_empty()
    }

    /// How many more effects it takes.
    pub(super) fn room(&self) -> usize {
        if self.bytes >= UNACKED_BYTES_MAX {
            return 0;
        }
        (UNACKED_MAX - SUBMITTED_MAX).saturating_sub(self.unacked.len())
    }

    pub(super) fn push(&mut self, submission: Submission, timeout: Duration) {
        let Submission {
            id,
            body,
            submitted,
            ack,
        } = submission;
        let give_up_at = submitted.into_std() + timeout;
        if self.by_id.contains_key(&id) {
            _ = ack.send(Err(PublishError::AlreadySubmitted));
            return;
        }
        self.by_id.insert(id, self.next);
        self.bytes += body.len();
        let unacked = Unacked {
            id,
            body,
            give_up_at,
            ack,
        };
        self.unacked.insert(self.next, unacked);
        self.next += 1;
    }

    /// The next effect to put on the connection.
    pub(super) fn next_unsent(&mut self) -> Option<(EffectId, &Bytes)> {
        let (number, unacked) = self.unacked.range(self.unsent..).next()?;
        self.unsent = number + 1;
        Some((unacked.id, &unacked.body))
    }

    /// Everything has to be sent again.
    pub(super) fn handle_disconnected(&mut self) {
        self.unsent = 0;
    }

    /// An ack came; one for an unknown effect, or a second one, means nothing.
    pub(super) fn handle_ack(&mut self, id: EffectId, fate: Result<(), PublishError>) {
        let number = self.by_id.remove(&id);
        let unacked = number.and_then(|number| self.unacked.remove(&number));
        if let Some(unacked) = unacked {
            self.bytes -= unacked.body.len();
            _ = unacked.ack.send(fate);
        }
    }

    /// Gives up what waits for too long. All have the same patience, so the
    /// oldest comes first.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(oldest) = self.unacked.first_entry() {
            if oldest.get().give_up_at > now {
                return;
            }
            let unacked = oldest.remove();
            self.by_id.remove(&unacked.id);
            self.bytes -= unacked.body.len();
            _ = unacked.ack.send(Err(PublishError::TimedOut));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.unacked.values().next().map(|oldest| oldest.give_up_at)
    }
}
