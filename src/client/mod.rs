//! What a Rust daemon uses to talk to Falco.
//!
//! A [`Client`] is a handle to one task that owns one connection to
//! `falco.sock`. Effects go out in the order they were submitted, without
//! waiting for each other's acks. Whatever happens to the connection, the
//! effects that have no ack yet are sent again, in order and under the same
//! ids, until each is acked or its time is over.
//!
//! Connects when there is something to send, and not before; holds no more
//! than [`UNACKED_MAX`] effects, or about [`UNACKED_BYTES_MAX`] of them, and
//! then makes [`Client::submit`] wait. Keeps
//! nothing on disk: what must survive a crash of the daemon is the daemon's to
//! keep, and to submit again under the id it had ([`Client::submit_as`]).
//!
//! The task ends when the last handle is gone and nothing is unacked.
//!
//! ```no_run
//! use falco::client::{Client, PublishError};
//!
//! # async fn example() -> Result<(), PublishError> {
//! let client = Client::new("/home/me/.unbound/falco.sock");
//!
//! // One effect, and its ack.
//! client.publish(r#"{"type":"session_created","session_id":"s1","payload":{"n":1}}"#).await?;
//!
//! // Many: submit them all, then wait. Effects of one session stay in order.
//! let mut acks = Vec::new();
//! for n in 2..100 {
//!     let effect = format!(r#"{{"type":"session_updated","session_id":"s1","payload":{{"n":{n}}}}}"#);
//!     acks.push(client.submit(effect).await?);
//! }
//! for ack in acks {
//!     match ack.await {
//!         Ok(()) => {}
//!         // It can never succeed as it is.
//!         Err(PublishError::Failed(failed)) if failed.is_rejected() => eprintln!("{failed}"),
//!         // Later, and in order: send it, and what came after it, again.
//!         Err(error) => return Err(error),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod task;
mod window;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::protocol::frame::{HEADER_BYTES, Limits};
use crate::shutdown::Shutdown;
use window::SUBMITTED_MAX;

pub use crate::protocol::id::EffectId;
pub use window::{UNACKED_BYTES_MAX, UNACKED_MAX};

/// How long an effect may go without an ack, by default.
///
/// Longer than Falco takes to say that it gave up (16.5 s), so that its answer
/// wins.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Falco's answer that an effect was not published, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    text: String,
}

impl Failed {
    /// The machine-readable word the answer starts with: `rejected`,
    /// `throttled`, `ambiguous`, `lane_full`, `too_large`, `shutting_down`, or
    /// empty.
    #[must_use]
    pub fn class(&self) -> &str {
        self.text.split_once(':').map_or("", |(class, _)| class)
    }

    /// Whether the effect can never succeed as it is; sending it again is
    /// pointless.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self.class(), "rejected" | "too_large")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an effect was not acked as published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Falco says why.
    #[error("Falco did not publish the effect: {0}")]
    Failed(Failed),
    /// No ack came in time; whether it was published is not known.
    #[error("no ack came in time; the effect may have been published")]
    TimedOut,
    /// The same id was submitted before and is not acked yet.
    #[error("an effect with this id is not acked yet")]
    AlreadySubmitted,
    /// The client's task is gone: its runtime was shut down.
    #[error("the client has stopped")]
    Stopped,
}

/// Handle to a connection to Falco; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    submit: mpsc::Sender<Submission>,
}

/// An effect on its way to the client's task.
#[derive(Debug)]
struct Submission {
    id: EffectId,
    body: Bytes,
    /// When its patience began.
    submitted: Instant,
    ack: oneshot::Sender<Result<(), PublishError>>,
}

impl Client {
    /// A client of the Falco that listens, or will listen, on `socket`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self::with_timeout(socket, TIMEOUT)
    }

    /// The same, with another limit than [`TIMEOUT`] on how long an effect may
    /// go without an ack, its time without a connection included.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_timeout(socket: impl Into<PathBuf>, timeout: Duration) -> Self {
        let (submit, submissions) = mpsc::channel(SUBMITTED_MAX);
        Shutdown::new().spawn(task::run(socket.into(), timeout, submissions));
        Self { submit }
    }

    /// Publishes one effect and waits for its ack.
    ///
    /// `json` is the side effect: an object with at least `type` or `event`.
    ///
    /// # Errors
    ///
    /// When Falco fails the effect, or does not answer in time.
    pub async fn publish(&self, json: impl Into<Bytes>) -> Result<(), PublishError> {
        self.submit(json).await?.await
    }

    /// Submits one effect; the [`Ack`] yields its fate, and may be dropped.
    ///
    /// Waits while too many effects are unacked.
    ///
    /// # Errors
    ///
    /// When the client has stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was submitted.
    pub async fn submit(&self, json: impl Into<Bytes>) -> Result<Ack, PublishError> {
        self.submit_as(EffectId::random(), json).await
    }

    /// The same, under an id the daemon has chosen, and uses again when it
    /// submits the effect again.
    ///
    /// # Errors
    ///
    /// When the client has stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was submitted.
    pub async fn submit_as(
        &self,
        id: EffectId,
        json: impl Into<Bytes>,
    ) -> Result<Ack, PublishError> {
        let (ack, fate) = oneshot::channel();
        let permit = self.submit.reserve().await;
        let permit = permit.map_err(|_| PublishError::Stopped)?;
        let body = json.into();
        if let Some(failed) = too_large(&body) {
            _ = ack.send(Err(PublishError::Failed(failed)));
            return Ok(Ack { id, fate });
        }
        let submitted = Instant::now();
        permit.send(Submission {
            id,
            body,
            submitted,
            ack,
        });
        Ok(Ack { id, fate })
    }
}

/// Falco's own answer to what is over its limit, without the way there: what is
/// far over it would cost the connection, and everything else on it.
fn too_large(body: &Bytes) -> Option<Failed> {
    let bytes = body.len() + HEADER_BYTES as usize;
    let max = Limits::default().frame_bytes_max;
    (max < bytes).then(|| Failed {
        text: format!("too_large: frame of {bytes} bytes is over the limit of {max} bytes"),
    })
}

/// The fate of one effect, once it has one.
#[derive(Debug)]
pub struct Ack {
    id: EffectId,
    fate: oneshot::Receiver<Result<(), PublishError>>,
}

impl Ack {
    /// The id the effect was sent under.
    #[must_use]
    pub fn effect_id(&self) -> EffectId {
        self.id
    }
}

impl Future for Ack {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let fate = ready!(Pin::new(&mut self.fate).poll(context));
        Poll::Ready(fate.unwrap_or(Err(PublishError::Stopped)))
    }
}

#[cfg(test)]
mod tests;
