//! What comes to the dispatcher, and what goes back.

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::super::session::SessionId;
use crate::delivery::{Amount, Debt, Failure, Outcome};
use crate::journal::Note;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

/// What sessions tell the dispatcher.
#[derive(Debug)]
pub(in crate::ingest) enum Submission {
    /// A daemon connected; this is the way back to it.
    Open(SessionId, WayBack),
    /// Effects of one read, in order.
    Effects(SessionId, Routed),
    /// Lines of a file, and how far in it they reach.
    Piece(Piece),
    /// So many effects of the inbox are on disk, however often they were offered.
    Taken(u64),
    /// Effects that went no further than their session.
    Refused(Refused),
    /// The daemon is gone; nobody waits for its acks.
    Close(SessionId),
}

/// Effects that were cut together from what a daemon sent, in order.
#[derive(Debug)]
pub(in crate::ingest) struct Routed {
    pub effects: Vec<SideEffect>,
    /// When the first of them was.
    pub arrived: Instant,
}

impl Routed {
    /// They have just arrived.
    pub(in crate::ingest) fn now(effects: Vec<SideEffect>) -> Self {
        let arrived = Instant::now();
        Self { effects, arrived }
    }

    pub(in crate::ingest) fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// One more was cut.
    pub(in crate::ingest) fn push(&mut self, effect: SideEffect) {
        if self.effects.is_empty() {
            self.arrived = Instant::now();
        }
        self.effects.push(effect);
    }

    /// All of them, and none is left.
    pub(in crate::ingest) fn take(&mut self) -> Self {
        let effects = std::mem::take(&mut self.effects);
        Self { effects, ..*self }
    }
}

/// What a session is told.
#[derive(Debug)]
pub(in crate::ingest) struct WayBack {
    pub acks: mpsc::Sender<Vec<Ack>>,
    /// Told before the acks are.
    pub news: watch::Sender<News>,
}

/// How it stands with what a session is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::ingest) struct News {
    /// How much of it stands still.
    pub still: Amount,
    /// Whether so much of it waits for the outcome of another that nothing more is
    /// taken for now.
    pub crowds: bool,
}

impl WayBack {
    /// To somebody who waits for everything that is owed.
    pub(in crate::ingest) fn patient(acks: mpsc::Sender<Vec<Ack>>) -> Self {
        let news = watch::Sender::new(News::default());
        Self { acks, news }
    }
}

/// Effects of the inbox, which acks them as a session's.
#[derive(Debug)]
pub(in crate::ingest) struct Piece {
    pub effects: Vec<SideEffect>,
    /// Recorded with the effects, and only if none of them is lost.
    pub note: Note,
    /// Told when the note is recorded; dropped if it is not.
    pub noted: oneshot::Sender<()>,
}

/// Effects a session answered by itself, or the inbox gave up, for the sums.
#[derive(Debug)]
pub(in crate::ingest) struct Refused {
    pub count: u64,
    pub last: Failure,
}

/// An effect's fate, on its way to its session.
#[derive(Debug)]
pub(in crate::ingest) struct Ack {
    pub id: EffectId,
    /// What its session counts it for.
    pub bytes: usize,
    pub outcome: Outcome,
}

/// Where an effect came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) session: SessionId,
    pub(super) bytes: usize,
    pub(super) debt: Debt,
    /// Since when its daemon waits for an answer.
    pub(super) arrived: Instant,
}
