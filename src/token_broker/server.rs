//! The socket: one request per connection, always answered.
//!
//! A request ends with the half-close, with silence for [`IO_TIMEOUT`], or by
//! being too large; whatever was read by then is answered.

use std::io;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Duration, Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::net::unix::Listener;
use crate::protocol::ably::auth::TokenDetails;
use crate::protocol::token::{
    BrokerTokens, IO_TIMEOUT, REQUEST_BYTES_MAX, Refusal, Request, encode_answer,
};
use crate::report::Report;
use crate::shutdown::Shutdown;

use super::issuer::Handle;

/// Connections served at once; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 64;

/// How long a whole request may take, however it is cut up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a request that is too large is read all the same, so that its
/// sender comes to read the answer.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Server {
    pub(super) listener: Listener,
    pub(super) broker_tokens: BrokerTokens,
    pub(super) device: Uuid,
    /// Whether there are credentials at all.
    pub(super) authenticated: bool,
    pub(super) issuer: Handle,
}

impl Server {
    /// Serves until `shutdown` begins.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let mut connections = FuturesUnordered::new();
        loop {
            let room = connections.len() < CONNECTIONS_MAX;
            let accepted = tokio::select! {
                () = shutdown.begun() => return,
                Some(()) = connections.next() => continue,
                accepted = self.listener.accept(), if room => accepted,
            };
            match accepted {
                Ok(stream) => connections.push(self.serve(stream)),
                Err(error) => {
                    tracing::error!(%error, "The token broker can accept no more; tokens will run out.");
                    return;
                }
            }
        }
    }

    async fn serve(&self, mut stream: UnixStream) {
        let answer = match read_request(&mut stream).await {
            Ok(body) => self.answer(&body).await,
            Err(error) => {
                tracing::debug!(%error, "A request for a token broke off.");
                return;
            }
        };
        if let Err(refusal) = &answer {
            tracing::warn!(error = %Report(refusal), "Refused a token.");
        }
        let body = encode_answer(answer);
        let writing = async {
            stream.write_all(&body).await?;
            stream.shutdown().await
        };
        match timeout(IO_TIMEOUT, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "An answer with a token was not taken."),
            Err(_) => tracing::debug!("An answer with a token was not taken in time."),
        }
    }

    async fn answer(&self, body: &[u8]) -> Result<TokenDetails, Refusal> {
        let request = Request::parse(body)?;
        let ours = self.broker_tokens.of(request.audience);
        if !ours.matches(&request.broker_token) {
            return Err(Refusal::BrokerToken);
        }
        let device = Uuid::try_parse(request.device_id.trim()).map_err(|_| Refusal::DeviceId)?;
        if !self.authenticated {
            return Err(Refusal::NotAuthenticated);
        }
        if device != self.device {
            return Err(Refusal::DeviceMismatch);
        }
        self.issuer.issue(request.audience, request.refused).await
    }
}

/// What the peer sends until it half-closes, falls silent, or sends too much.
async fn read_request(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut body = Vec::new();
    while body.len() <= DRAIN_BYTES_MAX {
        let until = deadline.min(Instant::now() + IO_TIMEOUT);
        match timeout_at(until, stream.read_buf(&mut body)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    // Its length is all that counts of what is too large.
    body.truncate(REQUEST_BYTES_MAX + 1);
    Ok(body)
}
