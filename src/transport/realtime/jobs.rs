//! What takes time and has one answer: tokens, handshakes, the connectivity
//! check. At most one of each is under way; none blocks the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::super::connectivity::{CHECK_URL, is_internet_up};
use super::Config;
use crate::ably::event::{Generation, OpenFailure, OpenRequest, Token, TokenFailure};
use crate::ably::hosts::Host;
use crate::ably::url;
use crate::clock;
use crate::net::dial::Origin;
use crate::net::websocket::{self, OpenError, WebSocket};
use crate::protocol::ably::auth::TokenDetails;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::token::Audience;
use crate::report::Report;

/// How long a step may take: the connection gives up on it at the same time.
const PATIENCE: Duration = Duration::from_secs(10);

type Job<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// What a job came to.
pub(super) enum Done {
    Token(Result<Token, TokenFailure>),
    Opened(Generation, Result<Box<WebSocket>, OpenFailure>),
    Connectivity(bool),
}

/// See the module.
pub(super) struct Jobs {
    audience: Audience,
    config: Config,
    token: Job<Result<Token, TokenFailure>>,
    opening: Job<(Generation, Result<Box<WebSocket>, OpenFailure>)>,
    connectivity: Job<bool>,
}

impl Jobs {
    pub(super) fn new(audience: Audience, config: Config) -> Self {
        Self {
            audience,
            config,
            token: None,
            opening: None,
            connectivity: None,
        }
    }

    pub(super) fn fetch_token(&mut self, refused: bool) {
        let (tokens, audience) = (self.config.tokens.clone(), self.audience);
        self.token = Some(Box::pin(async move {
            match timeout(PATIENCE, tokens.fetch(audience, refused)).await {
                Ok(Ok(details)) => Ok(token(details)),
                Ok(Err(error)) => {
                    let text = Report(&error).to_string();
                    Err(if error.is_retryable() {
                        TokenFailure::Unavailable(text)
                    } else {
                        TokenFailure::Forbidden(text)
                    })
                }
                Err(_) => Err(TokenFailure::Unavailable("no answer in time".to_owned())),
            }
        }));
    }

    pub(super) fn open(&mut self, request: &OpenRequest) {
        // Falco must not hear its own publishes; nagato may.
        let echo = self.audience == Audience::DaemonNagato;
        let target = url::path_and_query(request, self.config.format, echo, &self.config.agent);
        let origin = origin(&request.host);
        let (tls, generation) = (self.config.tls.clone(), request.generation);
        self.opening = Some(Box::pin(async move {
            let opened = websocket::open(&origin, &tls, &target, PATIENCE).await;
            (
                generation,
                opened.map(Box::new).map_err(|error| failure(&error)),
            )
        }));
    }

    pub(super) fn stop_opening(&mut self) {
        self.opening = None;
        self.connectivity = None;
    }

    pub(super) fn check_connectivity(&mut self) {
        let client = Arc::clone(&self.config.http);
        self.connectivity = Some(Box::pin(async move {
            match CHECK_URL.parse() {
                Ok(url) => is_internet_up(&client, &url).await,
                Err(_) => false,
            }
        }));
    }

    /// Waits for any of them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops none of the jobs.
    pub(super) async fn next(&mut self) -> Done {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = poll(&mut self.token, cx) {
                return Poll::Ready(Done::Token(result));
            }
            if let Poll::Ready((generation, result)) = poll(&mut self.opening, cx) {
                return Poll::Ready(Done::Opened(generation, result));
            }
            poll(&mut self.connectivity, cx).map(Done::Connectivity)
        })
        .await
    }
}

fn poll<T>(job: &mut Job<T>, cx: &mut std::task::Context<'_>) -> Poll<T> {
    let Some(future) = job else {
        return Poll::Pending;
    };
    let polled = future.as_mut().poll(cx);
    if polled.is_ready() {
        *job = None;
    }
    polled
}

/// Where `host` is, in the terms of our sockets.
pub(in crate::transport) fn origin(host: &Host) -> Origin {
    let name = if host.name.contains(':') {
        format!("[{}]", host.name)
    } else {
        host.name.clone()
    };
    Origin {
        secure: host.tls,
        host: name,
        port: host.port,
    }
}

fn token(details: TokenDetails) -> Token {
    let now_ms = clock::wire_ms();
    // A token without an end is good until the server says otherwise.
    let left = (details.expires > 0).then(|| details.expires.saturating_sub(now_ms));
    let valid_for = left.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or(0)));
    Token {
        secret: details.token,
        valid_for,
    }
}

fn failure(error: &OpenError) -> OpenFailure {
    match error {
        OpenError::Status {
            status,
            ably_code,
            ably_message,
        } => OpenFailure::Status {
            status: *status,
            error: ably_code.map(|code| {
                let message = ably_message.clone().unwrap_or_default();
                ErrorInfo::with_status(code, *status, message)
            }),
        },
        _ => OpenFailure::Unreachable(Report(error).to_string()),
    }
}
