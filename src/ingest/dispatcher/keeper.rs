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
//! What is done is written with the next effects, or a moment later: a crash in
//! between costs a copy with the same id, which Ably drops.
//!
//! An outbox that does not record (direct mode) only publishes what an earlier
//! run has left, and effects of such lanes are turned away until it is.
//!
//! Stops when everything recorded is answered; what is not published stays.

pub(in crate::ingest) mod operator;
mod recovering;
mod stage;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::super::Outbox as Config;
use super::ways::Ways;
use crate::clock;
use crate::delivery::{
    Admission, Admitted, Class, Failure, Home, Known, Load, Outbox, Settled, Ticket, Weight,
};
use crate::journal::{
    self, Closed, DeadLetter, Entry, Note, OnFailure, ReadBack, Receipt, Stored, Unreadable,
    Unrecorded,
};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};
use crate::shutdown::Shutdown;

pub(super) use operator::Asked;
pub(super) use stage::Event;
use stage::Stage;

/// How long what is done may wait for company before it is written.
const DONE_DELAY: Duration = Duration::from_millis(20);

/// At so many it waits no longer.
const DONE_MAX: usize = 512;

/// How long a lane rests whose effects the disk does not give now.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Effects read from disk at a time.
const READ_MAX: usize = 64;

/// What the lanes have of an effect: who waits for it, if anybody does.
pub(super) type Waiter = Option<Ticket>;

impl Weight for SideEffect {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What became of an effect that was offered.
#[derive(Debug)]
pub(super) enum Offer {
    /// It is on its way to the disk.
    Taken,
    /// It is there already.
    Kept(Ticket),
    /// It is not kept, and may go the direct way.
    Direct(Admitted),
    /// It goes nowhere.
    Refused(Admitted, Failure),
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
    batch: Batch,
    /// With the journal, in order.
    pending: VecDeque<Pending>,
    reading: Option<Reading>,
    /// When what could not be read is read again.
    read_again_at: Option<Instant>,
    /// Nothing is loaded before.
    resume_at: Option<Instant>,
    published: u64,
    died: u64,
    /// Operators that came before the journal was read.
    early: Vec<(OutboxRequest, oneshot::Sender<OutboxAnswer>)>,
    /// The inbox waits for what the journal remembers.
    notes: Option<oneshot::Sender<Vec<Note>>>,
}

/// What the journal is given next.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    fresh: Vec<Fresh>,
    asked: Vec<Asked>,
    noted: Vec<oneshot::Sender<()>>,
    done: Vec<EffectId>,
    /// When the oldest of `done` has waited long enough.
    done_due: Option<Instant>,
}

/// An effect that is not yet recorded.
#[derive(Debug)]
struct Fresh {
    route: usize,
    admitted: Admitted,
}

/// What the journal was given.
#[derive(Debug)]
struct Pending {
    receipt: Receipt,
    fresh: Vec<Fresh>,
    asked: Vec<Asked>,
    noted: Vec<oneshot::Sender<()>>,
}

/// What is being read.
struct Reading {
    loads: Vec<(usize, Load<SideEffect>)>,
    read: stage::Read,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Opens the journal, which may take a while.
    pub(super) fn new(config: Config, shutdown: &Shutdown) -> Self {
        Self {
            stage: Stage::open(&config, shutdown),
            shutdown: shutdown.clone(),
            config,
            outbox: Outbox::new(),
            letters: HashMap::new(),
            batch: Batch::default(),
            pending: VecDeque::new(),
            reading: None,
            read_again_at: None,
            resume_at: None,
            published: 0,
            died: 0,
            early: Vec::new(),
            notes: None,
        }
    }

    /// Whether effects may be offered.
    pub(super) fn has_room(&self) -> bool {
        match self.stage.health() {
            None => false,
            Some(_) if !self.batch.entries.is_empty() => false,
            Some(health) => health.admits() || matches!(health, journal::Health::Bypass { .. }),
        }
    }

    /// Whether nothing has to be written or answered any more.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.batch.is_empty() || self.stage.has_ended()
    }

    /// Whether what an earlier run has left is known.
    pub(super) fn has_read(&self) -> bool {
        !self.stage.is_opening()
    }

    /// Why Falco should end, if it should.
    pub(super) fn verdict(&self) -> Option<String> {
        self.stage.verdict()
    }

    /// Takes an effect in, if it is to be kept. While others of its lane are
    /// still on the direct way, it follows them: kept, it could overtake them.
    pub(super) fn offer(&mut self, admitted: Admitted, route: usize, follows: bool) -> Offer {
        let effect = &admitted.effect;
        let fingerprint = fingerprint(&effect.operation);
        match self.outbox.look_up(effect.id, fingerprint) {
            Known::Kept => Offer::Kept(admitted.ticket),
            Known::Conflict | Known::Writing => {
                let text = "id_conflict: this effect id was used for another effect";
                Offer::Refused(admitted, Failure::new(Class::Rejected, text))
            }
            Known::No if self.records() && follows => Offer::Direct(admitted),
            Known::No if self.records() => {
                self.take(admitted, route, fingerprint);
                Offer::Taken
            }
            Known::No if self.outbox.is_writing(route, &effect.lane) => {
                let failure = Failure::new(Class::Unrecorded, self.why_not());
                Offer::Refused(admitted, failure)
            }
            Known::No => self.go_around(admitted, route, &self.why_not()),
        }
    }

    /// What the journal remembers, once it was read; `None` if it records
    /// nothing.
    pub(super) fn notes(&mut self) -> Option<oneshot::Receiver<Vec<Note>>> {
        let (tell, told) = oneshot::channel();
        self.config.records.then(|| {
            self.notes = Some(tell);
            told
        })
    }

    /// Has the journal remember something, with what was offered last.
    pub(super) fn note(&mut self, note: Note, noted: oneshot::Sender<()>) {
        let Note { id, text } = note;
        self.batch.entries.push(Entry::Note { id, text });
        self.batch.noted.push(noted);
    }

    fn take(&mut self, admitted: Admitted, route: usize, fingerprint: u64) {
        let effect = &admitted.effect;
        let arrived_ms = clock::now_ms();
        let home = Home {
            route,
            lane: effect.lane.clone(),
            fingerprint,
            arrived_ms,
        };
        self.outbox.handle_offered(effect.id, home);
        let entry = Entry::Effect(journal::Effect {
            id: effect.id,
            lane: effect.lane.clone(),
            route: effect.route.clone(),
            key: effect.key.clone(),
            fingerprint,
            arrived_ms,
            operation: effect.operation.clone(),
        });
        self.batch.entries.push(entry);
        self.batch.fresh.push(Fresh { route, admitted });
    }

    /// Whether what arrives is recorded.
    pub(super) fn records(&self) -> bool {
        let is_bypassed = self.stage.health().is_none_or(|health| !health.admits());
        self.config.records && !is_bypassed
    }

    fn why_not(&self) -> String {
        match self.stage.health() {
            Some(journal::Health::Bypass { why }) => why.into(),
            _ => "what an earlier run has left of its lane is published first".to_owned(),
        }
    }

    /// What cannot be kept goes the direct way, if that is allowed and nothing
    /// kept is before it in its lane.
    fn go_around(&self, admitted: Admitted, route: usize, why: &str) -> Offer {
        let may = !self.config.records || self.config.journal.on_failure == OnFailure::Bypass;
        if may && !self.outbox.holds(route, &admitted.effect.lane) {
            return Offer::Direct(admitted);
        }
        let class = if self.config.records {
            Class::Unrecorded
        } else {
            Class::Throttled
        };
        Offer::Refused(admitted, Failure::new(class, why))
    }

    /// The lanes are done with a kept effect.
    pub(super) fn handle_settled(&mut self, settled: &Settled<Waiter>) {
        let id = settled.id;
        match &settled.outcome {
            Ok(()) => {
                self.published += 1;
                self.outbox.handle_published(id);
                self.batch.done.push(id);
                let due = Instant::now() + DONE_DELAY;
                self.batch.done_due.get_or_insert(due);
            }
            Err(failure) if failure.class == Class::ShuttingDown => {}
            Err(failure) => self.bury(id, failure, settled.attempts),
        }
    }

    /// Makes a dead letter of an effect.
    fn bury(&mut self, id: EffectId, failure: &Failure, attempts: u32) {
        if !self.outbox.handle_dead(id) {
            return;
        }
        let letter = DeadLetter {
            class: failure.class.token().into(),
            code: failure.code,
            error: failure.text.as_ref().into(),
            attempts,
            at_ms: clock::now_ms(),
        };
        warn!(effect_id = %id, attempts, error = %failure, "An effect became a dead letter.");
        self.died += 1;
        self.letters.insert(id, letter.clone());
        self.batch.entries.push(Entry::Failed(id, letter));
    }

    /// Has the journal write what has come together.
    pub(super) fn write(&mut self, now: Instant, is_stopping: bool) {
        let Some(journal) = self.stage.journal() else {
            return;
        };
        let is_due = self.batch.done_due.is_some_and(|due| due <= now)
            || self.batch.done.len() >= DONE_MAX
            || is_stopping && !self.batch.done.is_empty();
        if self.batch.entries.is_empty() && !is_due {
            return;
        }
        let Batch {
            mut entries,
            fresh,
            asked,
            noted,
            done,
            ..
        } = std::mem::take(&mut self.batch);
        if !done.is_empty() {
            entries.push(Entry::Done(done));
        }
        match journal.try_append(entries) {
            Ok(receipt) => self.pending.push_back(Pending {
                receipt,
                fresh,
                asked,
                noted,
            }),
            Err(journal::TryAppendError::Full(entries)) => {
                self.batch = Batch {
                    entries,
                    fresh,
                    asked,
                    noted,
                    ..Batch::default()
                };
            }
            // Its health says so too, and that ends Falco.
            Err(journal::TryAppendError::Closed(_)) => {
                error!("The journal has ended; effects that it had not recorded are not acked.");
            }
        }
    }

    /// Waits for the next thing to happen; cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        let is_blocked = !self.batch.entries.is_empty();
        let pending = self.pending.front_mut();
        let reading = self.reading.as_mut();
        let event = stage::event(
            &mut self.stage,
            is_blocked,
            pending.map(|pending| &mut pending.receipt),
            reading.map(|reading| &mut reading.read),
        );
        event.await
    }

    /// What happened to the oldest append. Returns what may go the direct way.
    pub(super) fn handle_recorded<T>(
        &mut self,
        result: &Result<(), Unrecorded>,
        admission: &mut Admission<T>,
    ) -> Vec<(usize, Admitted)> {
        let Some(pending) = self.pending.pop_front() else {
            return Vec::new();
        };
        for asked in pending.asked {
            asked.handle_recorded(result);
        }
        // What is not recorded, its sender learns from the silence.
        for noted in pending.noted.into_iter().filter(|_| result.is_ok()) {
            _ = noted.send(());
        }
        let now = clock::BootTime::now();
        let mut around = Vec::new();
        for Fresh { route, admitted } in pending.fresh {
            match result {
                Ok(()) => {
                    admission.handle_done(admitted.ticket, now);
                    let effect = admitted.effect;
                    self.outbox.handle_recorded(effect.id, effect);
                }
                Err(why) => {
                    self.outbox.handle_unrecorded(admitted.effect.id);
                    match self.not_recorded(admitted, route, why) {
                        Offer::Direct(admitted) => around.push((route, admitted)),
                        Offer::Refused(admitted, failure) => {
                            admission.handle_refused(admitted, failure, now);
                        }
                        Offer::Taken | Offer::Kept(_) => {}
                    }
                }
            }
        }
        around
    }

    fn not_recorded(&self, admitted: Admitted, route: usize, why: &Unrecorded) -> Offer {
        match why {
            Unrecorded::TooLarge { .. } => {
                let failure = Failure::new(Class::TooLarge, why.to_string());
                Offer::Refused(admitted, failure)
            }
            why => self.go_around(admitted, route, &why.to_string()),
        }
    }

    /// Brings to the lanes what they have room for.
    pub(super) fn load(&mut self, ways: &mut Ways, now: Instant) {
        if self.reading.is_some() || self.resume_at.is_some_and(|at| now < at) {
            return;
        }
        self.resume_at = None;
        if self.read_again_at.take_if(|at| *at <= now).is_some() {
            self.outbox.handle_pause_over();
        }
        let mut unread = Vec::new();
        for route in ways.routes() {
            let way = ways.kept(route);
            while way.lanes.has_room() && unread.len() < READ_MAX {
                let Some(mut load) = self.outbox.poll_load(route, way.lanes.has_slack()) else {
                    break;
                };
                match load.body.take() {
                    Some(body) if unread.is_empty() => way.deliver(body, load.order),
                    body => unread.push((route, Load { body, ..load })),
                }
            }
        }
        self.read(unread);
    }

    fn read(&mut self, loads: Vec<(usize, Load<SideEffect>)>) {
        let Some(journal) = self.stage.journal().filter(|_| !loads.is_empty()) else {
            return;
        };
        let missing = loads.iter().filter(|(_, load)| load.body.is_none());
        let ids = missing.map(|(_, load)| load.id).collect();
        let journal = journal.clone();
        let read = Box::pin(async move { journal.read(ids).await });
        self.reading = Some(Reading { loads, read });
    }

    /// What was to be read is here.
    pub(super) fn handle_read(&mut self, read: Result<Vec<ReadBack>, Closed>, ways: &mut Ways) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let mut read = read.unwrap_or_default().into_iter();
        for (route, mut load) in reading.loads {
            let body = match load.body.take() {
                Some(body) => Ok(Some(body)),
                // A journal that has ended says nothing of its records.
                None => read
                    .next()
                    .unwrap_or(Err(Unreadable))
                    .map(|stored| stored.map(side_effect)),
            };
            match body {
                // Behind one that could not be read, its lane keeps its order.
                Ok(body @ Some(_)) if self.outbox.is_paused(load.id) => {
                    self.outbox.handle_unloaded(Load { body, ..load });
                }
                Ok(Some(body)) => ways.kept(route).deliver(body, load.order),
                Ok(None) => {
                    let text = "its record cannot be read any more";
                    self.bury(load.id, &Failure::new(Class::Unrecorded, text), 0);
                }
                Err(Unreadable) => {
                    self.outbox.handle_unloaded(load);
                    let again_at = Instant::now() + READ_AGAIN_AFTER;
                    self.read_again_at.get_or_insert(again_at);
                }
            }
        }
    }

    /// When it wants to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let done = self
            .batch
            .done_due
            .filter(|_| self.batch.entries.is_empty());
        // What is read now ends with an event of its own.
        let again = self.read_again_at.filter(|_| self.reading.is_none());
        let loads = self.resume_at.into_iter().chain(again);
        loads.chain(done).min()
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

impl Batch {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.done.is_empty()
    }
}

/// An effect as it was before it was kept.
fn side_effect(stored: Stored) -> SideEffect {
    let effect = stored.effect;
    let operation = &effect.operation;
    SideEffect {
        id: effect.id,
        bytes: operation.body().len() + operation.channel().len() + operation.name().len(),
        lane: effect.lane,
        route: effect.route,
        key: effect.key,
        operation: effect.operation,
        is_ordered: false,
    }
}

/// Tells what an effect does from what another does, also after an update.
fn fingerprint(operation: &Operation) -> u64 {
    let kind = match operation {
        Operation::Publish { .. } => 1,
        Operation::ObjectSet { .. } => 2,
    };
    let names = crc32c::crc32c_append(kind, operation.channel().as_bytes());
    let names = crc32c::crc32c_append(names, operation.name().as_bytes());
    let body = crc32c::crc32c(operation.body());
    u64::from(names) << 32 | u64::from(body)
}
