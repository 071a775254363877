//! Acks by session, sent in batches.

use std::collections::HashMap;

use super::super::session::SessionId;
use super::Ack;
use super::submission::WayBack;
use crate::delivery::Amount;

/// The way back to every connected daemon.
#[derive(Debug, Default)]
pub(super) struct Outboxes {
    open: HashMap<SessionId, Outbox>,
    /// Sessions with unsent acks, in the order of their first.
    dirty: Vec<SessionId>,
}

#[derive(Debug)]
struct Outbox {
    back: WayBack,
    unsent: Vec<Ack>,
}

impl Outboxes {
    /// Connected daemons.
    pub(super) fn len(&self) -> usize {
        let inbox = usize::from(self.open.contains_key(&SessionId::INBOX));
        self.open.len() - inbox
    }

    pub(super) fn open(&mut self, session: SessionId, back: WayBack) {
        let unsent = Vec::new();
        self.open.insert(session, Outbox { back, unsent });
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.open.remove(&session);
    }

    /// Tells a session how much of what it is owed stands still.
    pub(super) fn tell_still(&self, session: SessionId, still: Amount) {
        if let Some(outbox) = self.open.get(&session) {
            outbox.back.still.send_replace(still);
        }
    }

    /// Keeps `ack` until the next flush; drops it if its daemon is gone.
    pub(super) fn push(&mut self, session: SessionId, ack: Ack) {
        let Some(outbox) = self.open.get_mut(&session) else {
            return;
        };
        if outbox.unsent.is_empty() {
            self.dirty.push(session);
        }
        outbox.unsent.push(ack);
    }

    /// Sends what was pushed.
    ///
    /// The channel of a session has room for every ack it is owed, so only a
    /// session that is gone cannot take them.
    pub(super) fn flush(&mut self) {
        for session in self.dirty.drain(..) {
            if let Some(outbox) = self.open.get_mut(&session) {
                _ = outbox
                    .back
                    .acks
                    .try_send(std::mem::take(&mut outbox.unsent));
            }
        }
    }
}
