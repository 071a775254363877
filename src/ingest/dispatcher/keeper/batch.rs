//! What the journal is given in one go, and what it was given.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::operator::Asked;
use crate::clock;
use crate::delivery::Admitted;
use crate::journal::{self, Entry, Receipt, Round};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

/// How long what is done may wait for company before it is written.
const DONE_DELAY: Duration = Duration::from_millis(20);

/// At so many it waits no longer.
const DONE_MAX: usize = 512;

/// What the journal is given next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Effects, and the notes that speak of them.
    pub(super) effects: Vec<Entry>,
    pub(super) fresh: Vec<Fresh>,
    pub(super) noted: Vec<oneshot::Sender<()>>,
    /// What became of others, and what operators want.
    pub(super) rest: Vec<Entry>,
    pub(super) asked: Vec<Asked>,
    pub(super) buried: Vec<EffectId>,
    pub(super) done: Vec<journal::Settled>,
    /// When the oldest of `done` has waited long enough.
    pub(super) done_due: Option<Instant>,
}

/// An effect that is not yet recorded.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) route: usize,
    pub(super) admitted: Admitted,
    /// When its daemon is answered at the latest.
    pub(super) answer_by: Instant,
}

/// What the journal was given.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) receipt: Receipt,
    pub(super) given: Given,
    pub(super) what: What,
}

impl Pending {
    /// Whether there are dead letters in it.
    pub(super) fn buries(&self) -> bool {
        matches!(&self.what, What::Rest { buried, .. } if !buried.is_empty())
    }
}

/// When a disk was given something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub(super) at: Instant,
    pub(super) at_ms: u64,
}

impl Given {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            at_ms: clock::now_ms(),
        }
    }
}

#[derive(Debug)]
pub(super) enum What {
    Effects {
        round: Round,
        fresh: Vec<Fresh>,
        /// Whose daemons were told that nobody knows: the disk hung.
        unsure: Vec<SideEffect>,
        noted: Vec<oneshot::Sender<()>>,
    },
    Rest {
        asked: Vec<Asked>,
        buried: Vec<EffectId>,
    },
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_blocked() && self.done.is_empty()
    }

    /// Whether the journal's queue had no room for it; else it is gone at the
    /// end of every turn.
    pub(super) fn is_blocked(&self) -> bool {
        !self.effects.is_empty() || !self.rest.is_empty()
    }

    /// To be written before long.
    pub(super) fn add_done(&mut self, done: journal::Settled) {
        self.done.push(done);
        let due = Instant::now() + DONE_DELAY;
        self.done_due.get_or_insert(due);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.done_due.is_some_and(|due| due <= now) || self.done.len() >= DONE_MAX
    }
}
