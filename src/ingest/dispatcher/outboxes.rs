//! Acks by session, sent in batches.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::super::session::SessionId;
use super::Ack;

/// The way back to every connected daemon.
#[derive(Debug, Default)]
pub(super) struct Outboxes {
    open: HashMap<SessionId, Outbox>,
    /// Sessions with unsent acks, in the order of their first.
    dirty: Vec<SessionId>,
}

#[derive(Debug)]
struct Outbox {
    acks: mpsc::Sender<Vec<Ack>>,
    unsent: Vec<Ack>,
}

impl Outboxes {
    /// Connected daemons.
    pub(super) fn len(&self) -> usize {
        let inbox = usize::from(self.open.contains_key(&SessionId::INBOX));
        self.open.len() - inbox
    }

    pub(super) fn open(&mut self, session: SessionId, acks: mpsc::Sender<Vec<Ack>>) {
        let unsent = Vec::new();
        self.open.insert(session, Outbox { acks, unsent });
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.open.remove(&session);
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
                _ = outbox.acks.try_send(std::mem::take(&mut outbox.unsent));
            }
        }
    }
}
