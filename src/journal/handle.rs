//! The handle: what others ask of the journal's thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::draft::{Drafts, records};
use super::entry::{Entry, ReadBack};
use super::error::{Closed, TryAppendError, Unrecorded};
use super::stamp::Forecast;
use super::stats::{Health, Progress, Stats};
use super::writer::Job;
use crate::protocol::id::EffectId;

/// Bytes that may wait for the disk.
const QUEUE_BYTES_MAX: u32 = 32 << 20;

/// What every record counts as at least, so that 8192 of them may wait.
const RECORD_CHARGE_MIN: usize = 4096;

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number of its last record.
    pub last_seq: u64,
}

/// Numbers what was offered before somebody could hear of a refusal.
///
/// Once an effect of a round was refused, all that follow in this round or an
/// earlier one are refused too, for the same reason: so none overtakes one that
/// its daemon will send again. Whoever has told the refusals begins the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round(pub u64);

/// What the thread is asked for; the permit is the room it takes in the queue.
pub(super) struct Command {
    pub(super) ask: Ask,
    pub(super) room: OwnedSemaphorePermit,
}

/// A queue of commands: as many wait as have room. With the end of the thread all that
/// waits goes, and whoever waits for it is told: in a bounded one it would stay.
pub(super) fn commands() -> (Sender<Command>, Receiver<Command>) {
    crossbeam_channel::unbounded()
}

/// The kinds of asking.
pub(super) enum Ask {
    Append(Job),
    Read(Vec<EffectId>, oneshot::Sender<Vec<ReadBack>>),
    Compact,
    Close(oneshot::Sender<Result<(), Unrecorded>>),
}

/// Handle to an open journal; clones share it. When the last is gone, the
/// journal closes by itself.
#[derive(Debug, Clone)]
pub struct Journal {
    room: Arc<Semaphore>,
    commands: Sender<Command>,
    forecast: Arc<Forecast>,
    progress: watch::Receiver<Progress>,
    health: watch::Receiver<Health>,
    stats: watch::Receiver<Stats>,
}

/// Becomes ready once the entries of one append are recorded, as
/// [`Sync`](super::Sync) asks for; they are recorded also if it is dropped.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Appended, Unrecorded>>);

impl Receipt {
    /// What the append came to, if that is known by now; then it is not asked again.
    pub(crate) fn now(&mut self) -> Option<Result<Appended, Unrecorded>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(Unrecorded::Closed)),
        }
    }
}

impl Future for Receipt {
    type Output = Result<Appended, Unrecorded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(Unrecorded::Closed)))
    }
}

impl Journal {
    pub(super) fn new(
        commands: Sender<Command>,
        forecast: Arc<Forecast>,
        progress: watch::Receiver<Progress>,
        health: watch::Receiver<Health>,
        stats: watch::Receiver<Stats>,
    ) -> Self {
        Self {
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)),
            commands,
            forecast,
            progress,
            health,
            stats,
        }
    }

    /// Queues `entries`, to be written together and in order, if there is room.
    ///
    /// # Errors
    ///
    /// When there is none or the journal has ended; the entries come back.
    pub fn try_append(&self, entries: Vec<Entry>) -> Result<Receipt, TryAppendError> {
        self.try_queue(entries, None)
    }

    /// The same, with effects that were offered in this round.
    ///
    /// # Errors
    ///
    /// As of [`Self::try_append`].
    pub fn try_append_in(
        &self,
        round: Round,
        entries: Vec<Entry>,
    ) -> Result<Receipt, TryAppendError> {
        self.try_queue(entries, Some(round))
    }

    fn try_queue(
        &self,
        entries: Vec<Entry>,
        round: Option<Round>,
    ) -> Result<Receipt, TryAppendError> {
        let room = Arc::clone(&self.room);
        let Ok(room) = room.try_acquire_many_owned(charge(&entries)) else {
            return Err(TryAppendError::Full(entries));
        };
        let queued = self.queue(entries, round, room);
        queued.map_err(TryAppendError::Closed)
    }

    /// Queues `entries`, to be written together and in order; waits for room,
    /// and that wait is the back-pressure of a slow disk.
    ///
    /// # Errors
    ///
    /// When the journal has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was queued.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<Receipt, Closed> {
        let room = self.room(charge(&entries)).await?;
        self.queue(entries, None, room).map_err(|_| Closed)
    }

    /// The effects with these ids, in their order, as far as they are not
    /// settled, whole, and can be read now.
    ///
    /// # Errors
    ///
    /// When the journal has ended.
    pub async fn read(&self, ids: Vec<EffectId>) -> Result<Vec<ReadBack>, Closed> {
        let (answer, read) = oneshot::channel();
        self.ask(Ask::Read(ids, answer)).await?;
        read.await.map_err(|_| Closed)
    }

    /// Has it look at its disk, if it has not done so within a second. After that
    /// its health and its numbers are new.
    ///
    /// # Errors
    ///
    /// When the journal has ended.
    pub async fn look(&self) -> Result<(), Closed> {
        // It looks after the first, and tells before the second.
        self.read(Vec::new()).await?;
        self.read(Vec::new()).await.map(drop)
    }

    /// Has space gained now that else would be gained when it is worth it.
    ///
    /// # Errors
    ///
    /// When the journal has ended.
    pub async fn compact(&self) -> Result<(), Closed> {
        self.ask(Ask::Compact).await
    }

    /// Writes what was queued, marks the end, syncs and unlocks.
    ///
    /// # Errors
    ///
    /// When the last records did not reach the disk.
    pub async fn close(&self) -> Result<(), Unrecorded> {
        let (answer, closed) = oneshot::channel();
        self.ask(Ask::Close(answer))
            .await
            .map_err(|Closed| Unrecorded::Closed)?;
        closed.await.unwrap_or(Err(Unrecorded::Closed))
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Whether it can do its work.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Counters and sizes, as of the last batch.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.borrow().clone()
    }

    async fn room(&self, charge: u32) -> Result<OwnedSemaphorePermit, Closed> {
        let room = Arc::clone(&self.room);
        room.acquire_many_owned(charge).await.map_err(|_| Closed)
    }

    async fn ask(&self, ask: Ask) -> Result<(), Closed> {
        let room = self.room(charge(&[])).await?;
        self.send(ask, room)
    }

    fn queue(
        &self,
        entries: Vec<Entry>,
        round: Option<Round>,
        room: OwnedSemaphorePermit,
    ) -> Result<Receipt, Vec<Entry>> {
        let (answer, receipt) = oneshot::channel();
        let stamp = self.forecast.queue(records(&entries));
        let job = Job {
            drafts: Drafts::of(&entries, stamp),
            round,
            answer,
        };
        match self.send(Ask::Append(job), room) {
            Ok(()) => Ok(Receipt(receipt)),
            Err(Closed) => Err(entries),
        }
    }

    fn send(&self, ask: Ask, room: OwnedSemaphorePermit) -> Result<(), Closed> {
        let command = Command { ask, room };
        self.commands.send(command).map_err(|_| Closed)
    }
}

/// What `entries` take of the queue; one append may have all of it.
fn charge(entries: &[Entry]) -> u32 {
    let one = |entry: &Entry| match entry {
        Entry::Effect(effect) => effect.operation.body().len(),
        Entry::Done(done) => done.len() * 136,
        Entry::Failed(_, letter) => letter.error.len(),
        Entry::Note { text, .. } => text.len(),
        Entry::Requeue(_) | Entry::Discard(_) => 0,
    };
    let bytes: usize = entries.iter().map(|e| one(e).max(RECORD_CHARGE_MIN)).sum();
    let bytes = bytes.max(RECORD_CHARGE_MIN);
    u32::try_from(bytes).map_or(QUEUE_BYTES_MAX, |bytes| bytes.min(QUEUE_BYTES_MAX))
}
