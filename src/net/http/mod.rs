//! A small HTTP/1.1 client: deadlines, bounded answers, kept connections.
//!
//! Owns the connections it keeps, at most [`IDLE_MAX`], each for at most
//! [`IDLE_AGE_MAX`] without use. A request is sent once: whether it may be
//! repeated is for the caller, who knows what it means; only a kept connection
//! that turns out closed before a byte was taken is replaced silently.
//!
//! Spawns nothing and has no timer of its own: a connection is driven by the
//! request that uses it. Dropping the future of a request closes its
//! connection. Redirects are answers like any other.

mod connection;
mod url;

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::dial::{DialError, Origin};
use super::tls::Tls;
use connection::{Connection, Outgoing, SendError};

pub(crate) use url::Url;

/// Connections kept for later requests.
const IDLE_MAX: usize = 4;

/// How long an unused connection is trusted to be still there.
const IDLE_AGE_MAX: Duration = Duration::from_secs(30);

/// How long a request may take when it does not say (Ably's TO3l4).
const DEADLINE: Duration = Duration::from_secs(10);

/// How much of an answer is read when the request does not say.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Sends requests; shared by reference.
#[derive(Debug)]
pub(crate) struct Client {
    tls: Tls,
    /// Never held across an await.
    idle: Mutex<Vec<Connection>>,
}

/// A request, complete.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    deadline: Duration,
    answer_bytes_max: usize,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// There was no connection; nothing was sent.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Sending or receiving broke off; the server may have acted.
    #[error("the exchange with {authority} broke off")]
    Broken {
        /// The server.
        authority: String,
        /// What hyper said.
        source: hyper::Error,
    },
    /// The time was over; the server may have acted.
    #[error("{authority} did not answer within {} ms", waited.as_millis())]
    TimedOut {
        /// The server.
        authority: String,
        /// How long it was given.
        waited: Duration,
    },
    /// The answer is longer than asked for.
    #[error("{authority} answered with more than {limit} bytes")]
    TooLong {
        /// The server.
        authority: String,
        /// The limit.
        limit: usize,
    },
}

impl Request {
    /// A GET.
    pub(crate) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: DEADLINE,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    /// A POST of JSON.
    pub(crate) fn post_json(url: Url, body: impl Into<Bytes>) -> Self {
        let request = Self {
            method: Method::POST,
            body: body.into(),
            ..Self::get(url)
        };
        request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With `Authorization: Bearer <token>`, which no log shows.
    ///
    /// A token that is no header value is left out: the server refuses it.
    pub(crate) fn bearer(mut self, token: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}")) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }

    /// To be answered within `deadline`, connecting included.
    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// To be answered with at most `bytes`.
    pub(crate) fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    fn not_sent(&self, error: SendError) -> HttpError {
        let authority = self.url.origin.authority();
        match error {
            SendError::NotSent => DialError::Closed { host: authority }.into(),
            SendError::Broken(source) => HttpError::Broken { authority, source },
        }
    }

    fn not_read(&self, error: Box<dyn Error + Send + Sync>) -> HttpError {
        let authority = self.url.origin.authority();
        match error.downcast::<hyper::Error>() {
            Ok(source) => HttpError::Broken {
                authority,
                source: *source,
            },
            // The only other error a limited body has.
            Err(_) => HttpError::TooLong {
                authority,
                limit: self.answer_bytes_max,
            },
        }
    }

    fn outgoing(&self) -> Outgoing {
        let mut outgoing = Outgoing::new(self.body.clone().into());
        *outgoing.method_mut() = self.method.clone();
        *outgoing.uri_mut() = self.url.target.parse().unwrap_or_default();
        *outgoing.headers_mut() = self.headers.clone();
        let headers = outgoing.headers_mut();
        if let Ok(host) = HeaderValue::try_from(self.url.origin.authority()) {
            headers.insert(HOST, host);
        }
        let agent = concat!("falco/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        outgoing
    }
}

impl Client {
    /// A client without connections.
    #[must_use]
    pub(crate) fn new(tls: Tls) -> Self {
        Self {
            tls,
            idle: Mutex::default(),
        }
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When there is no answer, not when the answer is a bad one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the server may or may not have acted.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let answered = tokio::time::timeout(request.deadline, self.exchange(request)).await;
        answered.unwrap_or_else(|_| {
            Err(HttpError::TimedOut {
                authority: request.url.origin.authority(),
                waited: request.deadline,
            })
        })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, HttpError> {
        let origin = &request.url.origin;
        while let Some(mut kept) = self.take_idle(origin) {
            match kept.send(request.outgoing()).await {
                Err(SendError::NotSent) => {}
                sent => return self.read(kept, request, sent).await,
            }
        }
        let mut fresh = Connection::open(origin, &self.tls, request.deadline).await?;
        let sent = fresh.send(request.outgoing()).await;
        self.read(fresh, request, sent).await
    }

    async fn read(
        &self,
        mut connection: Connection,
        request: &Request,
        sent: Result<hyper::Response<Incoming>, SendError>,
    ) -> Result<Response, HttpError> {
        let (head, body) = sent.map_err(|e| request.not_sent(e))?.into_parts();
        let body = Limited::new(body, request.answer_bytes_max).collect();
        let body = connection.drive(body).await;
        let body = body.map_err(|e| request.not_read(e))?;
        self.keep(connection);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.idle_since.elapsed() < IDLE_AGE_MAX);
        let at = idle.iter().rposition(|kept| kept.origin == *origin)?;
        Some(idle.remove(at))
    }

    fn keep(&self, mut connection: Connection) {
        if connection.is_closed() {
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if IDLE_MAX <= idle.len() {
            idle.remove(0);
        }
        idle.push(connection);
    }
}

#[cfg(test)]
mod tests;
