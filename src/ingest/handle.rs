//! What others ask of a running Falco, and hear of it.

use tokio::sync::{mpsc, oneshot, watch};

use super::inbox::{Idle, Tally};
use super::memo::Writing;
use crate::clock::BootTime;
use crate::protocol::control::IngestStatus;
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{InboxStatus, OutboxAnswer, OutboxRequest, OutboxStatus, OutboxVerb};

/// Handle to a running Falco; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(super) queries: mpsc::Sender<Query>,
    pub(super) linked: watch::Receiver<bool>,
    pub(super) has_read: watch::Receiver<bool>,
    pub(super) verdict: watch::Receiver<Option<Verdict>>,
    pub(super) inbox: Option<InboxView>,
    pub(super) writing: Option<Writing>,
}

/// What there is to say of the inbox.
#[derive(Debug, Clone)]
pub(super) enum InboxView {
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
pub(super) enum Query {
    Status(oneshot::Sender<IngestStatus>),
    /// Has the disk looked at first.
    Look(oneshot::Sender<()>),
    Outbox(OutboxRequest, oneshot::Sender<OutboxAnswer>),
    Lanes(LaneRequest, oneshot::Sender<LaneAnswer>),
}

impl Query {
    /// Whether nobody waits for the answer any more: then nothing is done.
    pub(super) fn is_withdrawn(&self) -> bool {
        match self {
            Self::Status(answer) => answer.is_closed(),
            Self::Look(answer) => answer.is_closed(),
            Self::Outbox(_, answer) => answer.is_closed(),
            Self::Lanes(_, answer) => answer.is_closed(),
        }
    }

    /// Whether the answer depends on what the journal holds.
    pub(super) fn is_about_what_is_kept(&self) -> bool {
        match self {
            Self::Status(_) | Self::Look(_) => false,
            Self::Outbox(request, _) => request.verb != OutboxVerb::Stats,
            Self::Lanes(..) => true,
        }
    }

    /// Answers that nothing was done, and why; of what is no request there is
    /// nothing to say.
    pub(super) fn fail(self, why: &str) {
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
