//! Keeps effects on disk until they are published.
//!
//! Drives [`Outbox`]: has the journal write what arrives, brings it to the lanes
//! when its turn comes, and writes what became of it. An effect is answered
//! with SUCCESS once the journal has recorded it, and not before.
//!
//! ```text
//! admitted ──▶ batch ──append──▶ pending ──recorded──▶ Outbox ──load──▶ lanes
//!                                   │                    ▲ │              │
//!                                SUCCESS               read└─journal      │
//!                                                                         ▼
//!              batch ◀── done, dead letter ◀──────────────────────── settled
//! ```
//!
//! What is done is written with the next effects, or a moment later. After a
//! crash in between it is known from the memo; where that is gone too, as after a
//! power cut, a copy goes out with the same id, which Ably drops.
//!
//! Effects that cannot be kept are answered `unrecorded`: because the journal is
//! full, or holds as many effects as it may, or its disk fails. In the last case
//! they go around the outbox where that is configured. All
//! that were taken before their daemons could hear of it share their fate, so
//! that none overtakes another of its lane ([`Round`]). Everything else goes on:
//! what is done is recorded, what is kept is published, what is known is acked.
//!
//! What operators want happens once it is recorded, and else not at all; only a
//! disk that failed may have kept it, and then it has happened after a crash. A
//! dead letter is one from the moment it is given up; while the disk does not take
//! it, its error begins with `unrecorded:`, and a crash makes it open again: it
//! is tried once more. It is written as soon as the disk takes it.
//!
//! What comes before the journal is read waits for that, though not without an end
//! ([`unread`]).
//!
//! A disk that hangs fails nothing. What it has held up for as long as an effect may
//! wait for its transport is answered all the same, and what comes then is refused
//! ([`hanging`]).
//!
//! Where rejected effects park their lanes, what is refused for good parks the
//! lane it is in ([`parking`]).
//!
//! An outbox that does not record (direct mode) only publishes what an earlier
//! run has left, and effects of such lanes are turned away until it is.
//!
//! Stops when everything recorded is answered; what is not published stays.

mod batch;
mod early;
mod hanging;
mod late;
mod load;
mod offer;
pub(in crate::ingest) mod operator;
pub(in crate::ingest) mod parking;
#[cfg(test)]
mod played;
mod recorded;
mod recovering;
mod stage;
mod state;
mod unread;
mod write;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use hashbrown::HashSet;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

use super::super::memo::Published;
use super::super::{Outbox as Config, Verdict};
use crate::delivery::{Outbox, Ticket, Weight};
use crate::journal::{DeadLetter, Entry, Health, Note, Reading, Round};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
use crate::shutdown::Shutdown;

use batch::{Batch, Pending};
use early::Early;
use load::Loading;
pub(super) use offer::Offer;
pub(super) use parking::Change;
use recovering::{Restoring, Unrouted};
pub(super) use stage::Event;
use stage::Stage;
use unread::Unread;

/// What the lanes have of an effect: who waits for it, if anybody does.
pub(super) type Waiter = Option<Ticket>;

/// What an effect's names take beside its frame, each a piece of memory by itself.
const NAMES_BYTES: usize = 128;

impl Weight for SideEffect {
    fn bytes(&self) -> usize {
        self.bytes + size_of::<Self>() + NAMES_BYTES
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    config: Config,
    shutdown: Shutdown,
    stage: Stage,
    outbox: Outbox<SideEffect>,
    /// Why each dead letter is dead.
    letters: HashMap<EffectId, DeadLetter>,
    /// Dead letters the disk has not taken.
    unwritten: BTreeSet<EffectId>,
    /// When it is asked again, if it refused some just now.
    letters_again_at: Option<Instant>,
    /// Lanes that were parked, or are open again, and nobody knows it yet.
    changes: VecDeque<Change>,
    batch: Batch,
    /// Of what is offered now.
    round: Round,
    /// What was recovered could not be made durable yet.
    is_unproven: bool,
    /// The disk has kept daemons waiting for as long as they may wait, and has not
    /// answered since.
    has_hung: bool,
    /// Falco did not run before, nor did its journal.
    away_until: Option<Instant>,
    /// With the journal, in order.
    pending: VecDeque<Pending>,
    loading: Option<Loading>,
    /// When what could not be read is read again.
    read_again_at: Option<Instant>,
    /// Nothing is loaded before.
    resume_at: Option<Instant>,
    /// It has kept many effects since memory was given back.
    was_large: bool,
    published: u64,
    died: u64,
    /// Effects that were to be kept and are not.
    unrecorded: u64,
    /// Those that were published all the same, and what had to follow them.
    around: u64,
    unrouted: Unrouted,
    /// An outbox that is missed, until somebody was told.
    missed: Option<Box<str>>,
    /// Operators that came before the journal was read.
    early: Early,
    /// The inbox waits for what the journal remembers.
    notes: Option<oneshot::Sender<Vec<Note>>>,
    /// How far the journal was read.
    reading: Reading,
    unread: Unread,
    /// What was read and is not taken over yet.
    restoring: Option<Restoring>,
    /// What earlier lives have published, whether the journal knows it or not.
    published_before: HashSet<Published>,
}

impl Keeper {
    /// Opens the journal, which may take a while; effects that come meanwhile may
    /// wait so long.
    pub(super) fn new(config: Config, patience: Duration, shutdown: &Shutdown) -> Self {
        let reading = Reading::default();
        let stage = Stage::open(&config, shutdown, &reading);
        let unread = Unread::new(patience);
        Self::on(stage, (reading, unread), config, shutdown)
    }

    fn on(
        stage: Stage,
        (reading, unread): (Reading, Unread),
        config: Config,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            stage,
            shutdown: shutdown.clone(),
            config,
            outbox: Outbox::new(),
            letters: HashMap::new(),
            unwritten: BTreeSet::new(),
            letters_again_at: None,
            changes: VecDeque::new(),
            batch: Batch::default(),
            round: Round::default(),
            is_unproven: false,
            has_hung: false,
            away_until: None,
            pending: VecDeque::new(),
            loading: None,
            read_again_at: None,
            resume_at: None,
            was_large: false,
            published: 0,
            died: 0,
            unrecorded: 0,
            around: 0,
            unrouted: Unrouted::default(),
            missed: None,
            early: Early::default(),
            notes: None,
            reading,
            unread,
            restoring: None,
            published_before: HashSet::new(),
        }
    }

    /// What earlier lives have published of what they kept; to be told before what
    /// the journal held is taken over.
    pub(super) fn handle_published_before(&mut self, published: HashSet<Published>) {
        self.published_before = published;
    }

    /// Whether effects may be offered; also when none would be recorded.
    pub(super) fn has_room(&self) -> bool {
        if self.is_overdue() {
            return true;
        }
        match self.stage.health() {
            None | Some(Health::Failed { .. }) => false,
            // What became of others may have to wait for a disk that hangs.
            Some(_) => self.has_read() && self.batch.effects.is_empty(),
        }
    }

    /// An effect was published that is not kept.
    pub(super) fn handle_around(&mut self) {
        self.around += u64::from(self.config.records);
    }

    /// Whether nothing has to be written or answered any more.
    pub(super) fn is_idle(&self) -> bool {
        // A journal that has ended has answered whoever waits for it; that is still to
        // be heard.
        self.pending.is_empty() && (self.batch.is_empty() || self.stage.has_ended())
    }

    /// Whether what an earlier run has left is known.
    pub(super) fn has_read(&self) -> bool {
        !self.stage.is_opening() && self.restoring.is_none()
    }

    /// Why Falco should end, if it should.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.stage.verdict()
    }

    /// What the journal remembers, once it was read.
    pub(super) fn notes(&mut self) -> oneshot::Receiver<Vec<Note>> {
        let (tell, told) = oneshot::channel();
        self.notes = Some(tell);
        told
    }

    /// Has the journal remember something, with what was offered last.
    pub(super) fn note(&mut self, note: Note, noted: oneshot::Sender<()>) {
        let Note { id, text } = note;
        self.batch.effects.push(Entry::Note { id, text });
        self.batch.noted.push(noted);
    }

    /// Whether what arrives is recorded.
    pub(super) fn records(&self) -> bool {
        let is_bypassed = self.stage.health().is_none_or(|health| !health.admits());
        self.config.records && !is_bypassed && !self.has_hung && !self.has_all_effects()
    }

    /// Waits for the next thing to happen; cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        if self.restoring.is_some() {
            // Whoever asks how far it is comes in between.
            tokio::task::yield_now().await;
            return Event::Restoring;
        }
        let is_blocked = self.batch.is_blocked();
        let pending = self.pending.front_mut();
        let loading = self.loading.as_mut();
        let event = stage::event(
            &mut self.stage,
            is_blocked,
            pending.map(|pending| &mut pending.receipt),
            loading.map(|loading| &mut loading.read),
        );
        event.await
    }

    /// When it wants to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let done = self.batch.done_due.filter(|_| !self.batch.is_blocked());
        // What is read now ends with an event of its own.
        let again = self.read_again_at.filter(|_| self.loading.is_none());
        let loads = self.resume_at.into_iter().chain(again);
        let others = [self.letters_again_at, self.hung_at(), self.overdue_at()];
        loads.chain(done).chain(others.into_iter().flatten()).min()
    }

    /// The last thing: marks the end, and syncs.
    pub(super) async fn close(self) {
        let Some(journal) = self.stage.journal() else {
            return;
        };
        if let Err(error) = journal.close().await {
            error!(%error, "The journal did not close in peace.");
        }
    }
}
