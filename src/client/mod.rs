//! What a Rust daemon uses to talk to Falco.
//!
//! A [`Client`] is a handle to one task that owns one connection to
//! `falco.sock`. Effects go out in the order they were submitted, without
//! waiting for each other's acks. Whatever happens to the connection, the
//! effects that have no ack yet are sent again, in order and under the same
//! ids. A connection on which Falco says nothing for [`SILENCE`], though it owes
//! an answer, is given up like one that broke.
//!
//! | method | an effect that Falco fails for now | ends |
//! |---|---|---|
//! | [`Client::deliver`] | is sent again, and what came after it in its session with it, in order | published, or refused for good |
//! | [`Client::submit`] | is the caller's to send again | with Falco's first answer, or after [`TIMEOUT`] |
//!
//! Connects when there is something to send, and not before; holds no more
//! than [`UNACKED_MAX`] effects, or about [`UNACKED_BYTES_MAX`] of them, and
//! then makes its callers wait. Keeps nothing on disk: what must survive a
//! crash of the daemon is the daemon's to keep, and to hand over again under
//! the id it had ([`Client::deliver_as`]).
#![cfg_attr(
    feature = "sqlite",
    doc = "A daemon whose facts are in SQLite has that for one call inside its own\ntransaction: see [`outbox`]."
)]
#![cfg_attr(
    not(feature = "sqlite"),
    doc = "A daemon whose facts are in SQLite has that for one call inside its own\ntransaction: see the module `outbox` of the feature `sqlite`."
)]
//!
//! The task ends when the last handle is gone and nothing is unacked.
//!
//! ```no_run
//! use falco::client::{Client, PublishError};
//!
//! # async fn example() -> Result<(), PublishError> {
//! let client = Client::new("/home/me/.unbound/falco.sock");
//!
//! // Effects of one session are published in this order, whatever happens.
//! let mut acks = Vec::new();
//! for n in 1..100 {
//!     let effect = format!(r#"{{"type":"session_updated","session_id":"s1","payload":{{"n":{n}}}}}"#);
//!     acks.push(client.deliver(effect).await?);
//! }
//! for ack in acks {
//!     match ack.await {
//!         Ok(()) => {}
//!         // It can never succeed as it is; what came after it was published.
//!         Err(PublishError::Failed(failed)) => eprintln!("{failed}"),
//!         Err(error) => return Err(error),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod failure;
#[cfg(feature = "sqlite")]
pub mod outbox;
mod task;
mod window;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::protocol::envelope::{Routing, route};
use crate::protocol::frame::{HEADER_BYTES, Limits};
use crate::protocol::id::LaneKey;
use crate::shutdown::Shutdown;
use window::{Promise, SUBMITTED_MAX};

pub use crate::protocol::id::EffectId;
pub use failure::{Failed, PublishError};
pub use window::{UNACKED_BYTES_MAX, UNACKED_MAX};

/// How long an effect may go without an ack, by default.
///
/// Longer than Falco takes to say that it gave up (16.5 s), so that its answer
/// wins.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// How long Falco may say nothing while it owes an answer, by default.
///
/// Longer than it takes to say that it gave up (16.5 s): a Falco that says
/// nothing for so long hangs, or its connection does.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Handle to a connection to Falco; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    submit: mpsc::Sender<Submission>,
    timeout: Duration,
}

/// An effect on its way to the client's task.
#[derive(Debug)]
struct Submission {
    id: EffectId,
    body: Bytes,
    promise: Promise,
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

    /// The same, with another limit than [`TIMEOUT`] on how long a submitted
    /// effect may go without an ack, its time without a connection included.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_timeout(socket: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self::with_timeouts(socket, timeout, SILENCE)
    }

    /// The same, with another limit than [`SILENCE`] on how long Falco may say
    /// nothing while it owes an answer; then the connection is given up, and
    /// what is not acked is sent again over the next. To be longer than three of
    /// Falco's `publish_timeout` and two seconds.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_timeouts(socket: impl Into<PathBuf>, timeout: Duration, silence: Duration) -> Self {
        let (submit, submissions) = mpsc::channel(SUBMITTED_MAX);
        Shutdown::new().spawn(task::run(socket.into(), silence, submissions));
        Self { submit, timeout }
    }

    /// Hands over one effect that is sent until it is published; the [`Ack`]
    /// yields its fate, and may be dropped.
    ///
    /// When Falco fails it for now (`throttled`, `ambiguous`, `lane_full`, …),
    /// it is sent again after a pause of 200 ms, growing to 10 s, and before
    /// what came after it in its session. Its time without a connection counts
    /// for nothing: it is held until Falco is there.
    ///
    /// Waits while too many effects are unacked.
    ///
    /// # Errors
    ///
    /// When the client has stopped. The [`Ack`] fails when Falco refuses the
    /// effect for good ([`Failed::is_rejected`]), or the client stops.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was handed over.
    pub async fn deliver(&self, json: impl Into<Bytes>) -> Result<Ack, PublishError> {
        self.deliver_as(EffectId::random(), json).await
    }

    /// The same, under an id the daemon has chosen, and uses again when it
    /// hands over the effect again, after a crash of its own for example: Falco
    /// and Ably drop what they have seen under it.
    ///
    /// # Errors
    ///
    /// As [`deliver`](Self::deliver).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was handed over.
    pub async fn deliver_as(
        &self,
        id: EffectId,
        json: impl Into<Bytes>,
    ) -> Result<Ack, PublishError> {
        let body = json.into();
        let lane = lane_of(id, &body);
        self.hand_over(id, body, Promise::Delivered(lane)).await
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
        let answered_by = (Instant::now() + self.timeout).into_std();
        let promise = Promise::AnsweredBy(answered_by);
        self.hand_over(id, json.into(), promise).await
    }

    async fn hand_over(
        &self,
        id: EffectId,
        body: Bytes,
        promise: Promise,
    ) -> Result<Ack, PublishError> {
        let (ack, fate) = oneshot::channel();
        let permit = self.submit.reserve().await;
        let permit = permit.map_err(|_| PublishError::Stopped)?;
        if let Some(failed) = too_large(&body) {
            _ = ack.send(Err(PublishError::Failed(failed)));
            return Ok(Ack { id, fate });
        }
        permit.send(Submission {
            id,
            body,
            promise,
            ack,
        });
        Ok(Ack { id, fate })
    }
}

/// What an effect must stay in order with. Which device it is does not matter:
/// all that goes to the device's own channel is one lane. What Falco cannot
/// read it rejects, so that its lane means nothing.
fn lane_of(id: EffectId, body: &Bytes) -> LaneKey {
    let routed = route(id, body, &Routing::for_device(""));
    routed.map_or_else(|_| LaneKey::new(""), |effect| effect.lane)
}

/// Falco's own answer to what is over its limit, without the way there: what is
/// far over it would cost the connection, and everything else on it.
fn too_large(body: &Bytes) -> Option<Failed> {
    let bytes = body.len() + HEADER_BYTES as usize;
    let max = Limits::default().frame_bytes_max;
    (max < bytes).then(|| {
        let text = format!("too_large: frame of {bytes} bytes is over the limit of {max} bytes");
        Failed::new(text)
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
