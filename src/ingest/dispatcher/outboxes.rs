//! Acks by session, sent in batches.

use hashbrown::HashMap;

use super::super::session::SessionId;
use super::Ack;
use super::submission::{News, WayBack};
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
    /// Effects that came and have no ack.
    unanswered: usize,
}

impl Outboxes {
    /// Connected daemons.
    pub(super) fn len(&self) -> usize {
        let inbox = usize::from(self.open.contains_key(&SessionId::INBOX));
        self.open.len() - inbox
    }

    pub(super) fn open(&mut self, session: SessionId, back: WayBack) {
        let outbox = Outbox {
            back,
            unsent: Vec::new(),
            unanswered: 0,
        };
        self.open.insert(session, outbox);
    }

    /// Returns how many effects of the session have no ack.
    pub(super) fn close(&mut self, session: SessionId) -> usize {
        let closed = self.open.remove(&session);
        closed.map_or(0, |closed| closed.unanswered)
    }

    /// So many effects of a session have come.
    pub(super) fn owe(&mut self, session: SessionId, effects: usize) {
        if let Some(outbox) = self.open.get_mut(&session) {
            outbox.unanswered += effects;
        }
    }

    /// Tells a session how much of what it is owed stands still.
    pub(super) fn tell_still(&self, session: SessionId, still: Amount) {
        self.tell(session, |news| news.still = still);
    }

    /// Tells a session whether it crowds out others.
    pub(super) fn tell_crowding(&self, session: SessionId, crowds: bool) {
        self.tell(session, |news| news.crowds = crowds);
    }

    fn tell(&self, session: SessionId, change: impl FnOnce(&mut News)) {
        if let Some(outbox) = self.open.get(&session) {
            outbox.back.news.send_modify(change);
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
        outbox.unanswered = outbox.unanswered.saturating_sub(1);
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
