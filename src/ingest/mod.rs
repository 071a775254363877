//! Falco itself: takes side effects from daemons, hands them to the transport,
//! answers with acks.
//!
//! ```text
//!            ┌─ session ─┐  effects  ┌────────────┐  requests
//! daemon ◀──▶│  (a task   │──────────▶│ dispatcher │──────────▶ ably.sock
//!            │  each)     │◀──────────│ (one task) │◀──────────
//!            └────────────┘   acks    └────────────┘  answers
//! ```
//!
//! A session owns a connection: it cuts frames, routes effects, counts what it
//! still owes an answer, and writes acks. The dispatcher owns the lanes and the
//! connection to the transport. Effects travel in the batches they were read
//! in, acks in the batches they were decided in.
//!
//! Promises that every frame whose id can be read is answered exactly once on
//! its own connection, in bounded time, for as long as that connection lives. The
//! time of an effect begins when it is cut from what was read, wherever it waits
//! then. A connection that is not read is looked at every second, whether it lives.
//!
//! | bound | when it is reached |
//! |---|---|
//! | 4 MiB a frame | FAILED `too_large`, its bytes are dropped; over 16 MiB: the same at once, and the connection ends |
//! | 4096 effects or 8 MiB unanswered on a connection, without what stands still, or may, of a lane that is slow: 8192 effects or 32 MiB of each, with what stands still a quarter of what its route may hold | that socket is not read |
//! | 32 768 effects or 128 MiB unanswered on it in all | the same |
//! | 16 384 effects or 64 MiB of it that stand still, or half of what their route may hold | those of lanes in trouble: FAILED `lane_full` |
//! | 24 576 effects or 96 MiB of it that stand still | also those of a lane of which only others tell that it does; what it holds of that is refused once they do; of each of several routes 4096 effects or 16 MiB stay |
//! | 1 MiB of acks not taken by the daemon | that socket is not read; after 30 s without progress it is closed |
//! | 64 MiB of frames over 128 KiB that are not finished | such a frame waits; one that stands still for 30 s ends its connection |
//! | 4096 effects or 16 MiB in a lane that stands still, 16 384 or 64 MiB in another | FAILED `lane_full`; once it is empty, up to 2 s more for a daemon that does not resend the first |
//! | 65 536 submissions that wait for the outcome of another of the same | a connection that has as many of them as there is room left is not read; those of one that is closed are taken off; at 262 144, since what was sent before is taken: no socket is read |
//! | 65 536 effects or 256 MiB in all | no socket is read; with several routes each has its share, and one that is full answers FAILED `lane_full` |
//!
//! All sessions of a daemon share its connection. A lane that is not answered for
//! a second while others are, or for a whole attempt, or is refused twice in a
//! row, stands still, and so does every lane of a route whose transport is away or
//! silent where there are others: for those nobody waits. A lane that is well
//! makes its connection wait, and is not refused while its route is there.
//!
//! What cannot be told yet from a slow lane is held: what comes for a lane that was
//! not answered for a quarter of a second is taken beside what its connection may
//! have unanswered, so that others are read, and answered, by whom one can tell. A
//! transport that pauses looks the same, and must cost no refusal: so a lane that
//! is not known to stand still has room for all of it, and gives back what is
//! too much once it is. Once that is used up, the
//! connection waits for a second while others are answered, and for a whole attempt
//! if nothing is.
//!
//! What stands still of a connection is kept below what that may be owed in all, or
//! nothing else of it were read: a lane that others have shown to stand still gives
//! back what is too much, the latest of it, and takes no more. What is on its way
//! to the transport cannot be given back: a thousand lanes that stand still with
//! as much as goes out at once still hold their connection up until their first
//! attempts end. While nobody is answered that shows nothing, and nothing is given
//! back.
//!
//! An effect may name a route: one of several transports. Each has lanes and a
//! connection of its own, so the outage of one delays no other.
//!
//! With an outbox, effects are kept on disk until they are published, and
//! answered once they are there; without one no effect is kept. With one,
//! programs may also leave effects as files in its inbox. Which batches
//! were sent is noted in both cases, and what was published without an outbox
//! ([`memo`]), so that a Falco that died sends them again as they were, knows
//! what comes again, and subscribers see no effect twice.
//!
//! All of this happens on one thread, the notes as well: while the disk hangs that has
//! them, nothing here goes on, and no time is kept.
//!
//! Never publishes anything by itself and never reads the environment.
//!
//! Stops by refusing what waits, giving what is on its way a grace to be
//! answered, and failing the rest with `shutting_down`; then the sessions write
//! their last acks and end.

mod alarm;
mod dispatcher;
#[cfg(fuzzing)]
pub mod fuzz;
mod inbox;
mod memo;
pub(crate) mod offline;
mod server;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::BootTime;
use crate::delivery;
use crate::journal;
use crate::net::unix::Listener;
use crate::process::capture::Journal;
use crate::protocol::control::IngestStatus;
use crate::protocol::envelope::Routing;
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{InboxStatus, OutboxAnswer, OutboxRequest, OutboxStatus, OutboxVerb};
use crate::shutdown::Shutdown;

use dispatcher::Dispatcher;
#[cfg(test)]
pub(crate) use dispatcher::played;
use inbox::{Idle, Inbox, Tally};
use memo::Writing;
use session::{LargeFrames, Shared};

/// Batches of effects on their way from the sessions to the dispatcher; each
/// may hold a frame of the longest kind.
const SUBMISSIONS_MAX: usize = 16;

/// Memory for large frames that have begun and not ended, over all connections.
const LARGE_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Questions about the state that may wait at once.
const QUERIES_MAX: usize = 8;

/// A transport beside the chain's own.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// What effects call it.
    pub name: Box<str>,
    /// Where it speaks NDJSON; it need not be there yet.
    pub socket: PathBuf,
}

/// Effects on disk.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    /// Where they are kept.
    pub directory: PathBuf,
    /// How.
    pub journal: journal::Config,
    /// Effects that may be kept, dead letters included; each takes memory.
    pub effects_max: usize,
    /// The directory in which this run keeps them, whatever its path comes to
    /// mean.
    pub home: journal::Home,
    /// Whether what arrives is kept; if not, only what an earlier run has left
    /// is published.
    pub records: bool,
    /// How long daemons have after a start to send again, before what was left
    /// is published.
    pub resume_grace: Duration,
}

/// Where sent batches are noted.
#[derive(Debug, Clone)]
pub(crate) struct MemoPlace {
    /// A private directory; it has to exist.
    pub dir: PathBuf,
    /// This boot of the machine.
    pub boot_id: String,
    /// When the other of its two files is begun.
    pub file_bytes_max: usize,
}

impl MemoPlace {
    /// In `dir`, for as long as the machine runs.
    pub(crate) fn new(dir: PathBuf, boot_id: String) -> Self {
        Self {
            dir,
            boot_id,
            file_bytes_max: memo::FILE_BYTES_MAX,
        }
    }
}

/// What Falco has to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where effects go that do not say it themselves.
    pub routing: Routing,
    /// The transport's socket; it need not exist yet.
    pub transport_socket: PathBuf,
    /// Further transports, which effects may name.
    pub routes: Vec<Route>,
    /// Why the chain has no transport of its own, for as long as it has none:
    /// what would go there is refused at once.
    pub closed: watch::Receiver<Option<Arc<str>>>,
    /// Attempts, deadlines and bounds.
    pub delivery: delivery::Config,
    /// Where effects are kept until they are published, if anywhere.
    pub outbox: Option<Outbox>,
    /// How long a stop waits for answers that are on their way. The task group
    /// needs a little longer than this to write the last acks.
    pub shutdown_grace: Duration,
    /// Where is noted what is needed to send batches again as they were; without
    /// it a crash of Falco may show some to subscribers twice.
    pub memo: Option<MemoPlace>,
    /// Where is noted that a lane was parked, or is open again.
    pub life: Option<Journal>,
}

impl Config {
    /// The defaults, for the device with this id.
    pub(crate) fn new(device_id: &str, transport_socket: PathBuf) -> Self {
        Self {
            routing: Routing::for_device(device_id),
            transport_socket,
            routes: Vec::new(),
            closed: watch::channel(None).1,
            delivery: delivery::Config::default(),
            outbox: None,
            shutdown_grace: Duration::from_secs(2),
            memo: None,
            life: None,
        }
    }
}

/// Handle to a running Falco; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    queries: mpsc::Sender<Query>,
    linked: watch::Receiver<bool>,
    has_read: watch::Receiver<bool>,
    verdict: watch::Receiver<Option<Verdict>>,
    inbox: Option<InboxView>,
    writing: Option<Writing>,
}

/// What there is to say of the inbox.
#[derive(Debug, Clone)]
enum InboxView {
    Taken(Tally),
    /// Effects are not kept now.
    Idle(Idle),
}

impl InboxView {
    async fn status(&self) -> Option<InboxStatus> {
        match self {
            Self::Taken(tally) => Some(tally.status()),
            Self::Idle(idle) => idle.status().await,
        }
    }
}

/// Why Falco cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What a person reads.
    pub why: String,
    /// Whose business it is.
    pub fault: Fault,
}

/// What is wrong with the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A later version wrote it.
    Newer,
    /// Others can read or change it.
    Insecure,
    /// Its disk cannot be read or written.
    Disk,
    /// It cannot be opened for another reason.
    Other,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It was not asked.
    #[error("Falco is not running")]
    NotRunning,
    /// It had the question; what it has done, nobody knows.
    #[error("Falco ended before it answered")]
    Ended,
}

/// What can be asked of a running Falco.
#[derive(Debug)]
enum Query {
    Status(oneshot::Sender<IngestStatus>),
    /// Has the disk looked at first.
    Look(oneshot::Sender<()>),
    Outbox(OutboxRequest, oneshot::Sender<OutboxAnswer>),
    Lanes(LaneRequest, oneshot::Sender<LaneAnswer>),
}

impl Query {
    /// Whether nobody waits for the answer any more: then nothing is done.
    fn is_withdrawn(&self) -> bool {
        match self {
            Self::Status(answer) => answer.is_closed(),
            Self::Look(answer) => answer.is_closed(),
            Self::Outbox(_, answer) => answer.is_closed(),
            Self::Lanes(_, answer) => answer.is_closed(),
        }
    }

    /// Whether the answer depends on what the journal holds.
    fn is_about_what_is_kept(&self) -> bool {
        match self {
            Self::Status(_) | Self::Look(_) => false,
            Self::Outbox(request, _) => request.verb != OutboxVerb::Stats,
            Self::Lanes(..) => true,
        }
    }

    /// Answers that nothing was done, and why; of what is no request there is
    /// nothing to say.
    fn fail(self, why: &str) {
        match self {
            Self::Outbox(_, answer) => _ = answer.send(OutboxAnswer::failed(why)),
            Self::Lanes(_, answer) => _ = answer.send(LaneAnswer::failed(why)),
            Self::Status(_) | Self::Look(_) => {}
        }
    }
}

impl Handle {
    /// Resolves once there is a connection to the transport, or Falco has ended.
    pub(crate) async fn linked(&self) {
        _ = self.linked.clone().wait_for(|linked| *linked).await;
    }

    /// Resolves once what an earlier run has left is known, and effects are
    /// taken, or Falco has ended.
    pub(crate) async fn has_read(&self) {
        _ = self.has_read.clone().wait_for(|has_read| *has_read).await;
    }

    /// What it is doing; all zero once it has stopped.
    pub(crate) async fn status(&self) -> IngestStatus {
        self.look().await;
        let (answer, status) = oneshot::channel();
        if self.queries.send(Query::Status(answer)).await.is_err() {
            return IngestStatus::default();
        }
        let mut status = status.await.unwrap_or_default();
        self.add_inbox(status.outbox.as_mut()).await;
        status
    }

    /// Why it answers nothing now, if that is because of a disk that hangs; asks
    /// nobody.
    pub(crate) fn why_hung(&self) -> Option<String> {
        self.writing.as_ref()?.why_hung(BootTime::now())
    }

    /// Asks about what is kept on disk, or for a change of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, a change is not begun any more; one that is
    /// begun, because Falco has taken it up, is finished whole.
    pub(crate) async fn outbox(&self, request: OutboxRequest) -> Result<OutboxAnswer, Unanswered> {
        if request.verb == OutboxVerb::Stats {
            self.look().await;
        }
        let (answer, told) = oneshot::channel();
        let mut answer = self.ask(Query::Outbox(request, answer), told).await?;
        self.add_inbox(answer.stats.as_mut()).await;
        Ok(answer)
    }

    /// Asks about lanes that are parked, or to open some; cancel safe as
    /// [`Self::outbox`].
    pub(crate) async fn lanes(&self, request: LaneRequest) -> Result<LaneAnswer, Unanswered> {
        let (answer, told) = oneshot::channel();
        self.ask(Query::Lanes(request, answer), told).await
    }

    async fn ask<T>(&self, query: Query, told: oneshot::Receiver<T>) -> Result<T, Unanswered> {
        let asked = self.queries.send(query).await;
        asked.map_err(|_| Unanswered::NotRunning)?;
        told.await.map_err(|_| Unanswered::Ended)
    }

    /// An outbox at rest does not look at its disk; whoever asks how it is wants
    /// to know.
    async fn look(&self) {
        let (answer, looked) = oneshot::channel();
        if self.queries.send(Query::Look(answer)).await.is_ok() {
            _ = looked.await;
        }
    }

    async fn add_inbox(&self, outbox: Option<&mut OutboxStatus>) {
        if let (Some(outbox), Some(inbox)) = (outbox, &self.inbox) {
            outbox.inbox = inbox.status().await;
        }
    }

    /// Resolves with the reason once Falco cannot go on; never, otherwise.
    pub(crate) async fn failed(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        if let Ok(verdict) = verdict.wait_for(Option::is_some).await
            && let Some(verdict) = &*verdict
        {
            return verdict.clone();
        }
        std::future::pending().await
    }
}

/// Starts Falco on `listener`, in the current runtime, until `shutdown`.
pub(crate) fn start(config: &Config, listener: Listener, shutdown: &Shutdown) -> Handle {
    let (submit, submissions) = mpsc::channel(SUBMISSIONS_MAX);
    let (queries, asked) = mpsc::channel(QUERIES_MAX);
    let shared = Shared {
        routing: config.routing.clone(),
        submit: submit.clone(),
        large_frames: LargeFrames::new(LARGE_FRAME_BYTES_MAX),
        shutdown: shutdown.clone(),
    };
    let mut dispatcher = Dispatcher::new(config, submissions, asked, shutdown);
    let inbox = config.outbox.as_ref().zip(dispatcher.notes());
    let inbox = inbox.map(|(outbox, notes)| {
        if !outbox.records {
            return InboxView::Idle(Idle::new(&outbox.directory, notes, shutdown));
        }
        let (directory, home) = (&outbox.directory, outbox.home.clone());
        let inbox = Inbox::new(directory, home, config.routing.clone(), submit, notes);
        let tally = inbox.tally();
        shutdown.spawn(inbox.run(shutdown.clone()));
        InboxView::Taken(tally)
    });
    let linked = dispatcher.linked();
    let has_read = dispatcher.has_read();
    let verdict = dispatcher.verdict();
    let writing = dispatcher.writing();
    shutdown.spawn(dispatcher.run(shutdown.clone()));
    shutdown.spawn(server::run(listener, shared));
    Handle {
        queries,
        linked,
        has_read,
        verdict,
        inbox,
        writing,
    }
}
