//! The one owner of tokens: asks the source, keeps what it gave.
//!
//! One question per audience at a time; whoever asks meanwhile waits for the
//! same answer. A question outlives an impatient asker, so that a slow source
//! has its token ready when the transport asks again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::protocol::ably::auth::TokenDetails;
use crate::protocol::token::{Audience, Refusal};
use crate::report::Report;
use crate::shutdown::Shutdown;

use super::Config;
use super::scope::{Identity, Reach, capability};
use super::source::{Order, Source, SourceError};

/// A kept token is not served once it lives no longer than this, or than half
/// of what it lived when it came.
const KEEP_MARGIN_MS: i64 = 120 * 1000;

/// How long a token is kept that does not say when it ends: it costs a run of
/// the token command to replace, and who finds it refused says so.
const KEEP_ENDLESS_MS: i64 = 5 * 60 * 1000;

/// A token that Ably refuses is replaced, but not if it is younger than this:
/// what is new would be refused again.
const REPLACE_SPACING_MS: i64 = 1000;

/// How long an asker waits. Shorter than the client's own 5 s, so that it
/// hears the reason.
const PATIENCE: Duration = Duration::from_secs(4);

/// Askers waiting to be heard; one more waits in its own task.
const ASKS_MAX: usize = 16;

type Reply = oneshot::Sender<Result<TokenDetails, Refusal>>;
type Given = (Audience, Result<TokenDetails, SourceError>);
type Fetch = Pin<Box<dyn Future<Output = Given> + Send>>;

enum Ask {
    Issue {
        audience: Audience,
        /// Whether Ably refused the last one.
        refused: bool,
        reply: Reply,
    },
    Clear {
        done: oneshot::Sender<()>,
    },
}

enum Event {
    Ask(Ask),
    Given(Given),
}

/// What there is for one audience; absent means nothing.
enum Slot {
    Fetching { waiting: Vec<Reply> },
    Holding(Kept),
}

/// A token and when it came.
struct Kept {
    details: TokenDetails,
    since_ms: i64,
}

/// The task that owns the tokens.
pub(super) struct Issuer {
    source: Arc<Source>,
    identity: Identity,
    reach: Reach,
    asks: mpsc::Receiver<Ask>,
    slots: BTreeMap<Audience, Slot>,
    fetches: FuturesUnordered<Fetch>,
}

/// Handle to the issuer; clones share one.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    asks: mpsc::Sender<Ask>,
}

impl Handle {
    /// A token for `audience`; a new one if the last was `refused`.
    pub(super) async fn issue(
        &self,
        audience: Audience,
        refused: bool,
    ) -> Result<TokenDetails, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Issue {
            audience,
            refused,
            reply,
        };
        let asked = async {
            self.asks.send(ask).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Refusal::Unavailable("the token broker is stopping".into())),
            Err(_) => Err(Refusal::Unavailable(
                "the token source has not answered yet; ask again".into(),
            )),
        }
    }

    pub(super) async fn clear(&self) {
        let (done, cleared) = oneshot::channel();
        if self.asks.send(Ask::Clear { done }).await.is_ok() {
            // An issuer that stopped serves no token either.
            _ = cleared.await;
        }
    }
}

impl Issuer {
    pub(super) fn new(config: Config) -> (Self, Handle) {
        let (sender, asks) = mpsc::channel(ASKS_MAX);
        let issuer = Self {
            source: Arc::new(config.source),
            identity: config.identity,
            reach: config.reach,
            asks,
            slots: BTreeMap::new(),
            fetches: FuturesUnordered::new(),
        };
        (issuer, Handle { asks: sender })
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let event = tokio::select! {
                () = shutdown.begun() => return,
                ask = self.asks.recv() => match ask {
                    Some(ask) => Event::Ask(ask),
                    None => return,
                },
                Some(given) = self.fetches.next() => Event::Given(given),
            };
            match event {
                Event::Ask(Ask::Issue {
                    audience,
                    refused,
                    reply,
                }) => self.issue(audience, refused, reply, clock::wire_ms()),
                Event::Ask(Ask::Clear { done }) => self.clear(done),
                Event::Given((audience, given)) => {
                    self.settle(audience, given, clock::wire_ms());
                }
            }
        }
    }

    fn issue(&mut self, audience: Audience, refused: bool, reply: Reply, now_ms: i64) {
        match self.slots.get_mut(&audience) {
            Some(Slot::Holding(kept)) if kept.may_serve(refused, now_ms) => {
                // Whoever has stopped waiting needs no answer.
                _ = reply.send(Ok(kept.details.clone()));
            }
            Some(Slot::Fetching { waiting }) => waiting.push(reply),
            Some(Slot::Holding(_)) | None => {
                let waiting = vec![reply];
                self.slots.insert(audience, Slot::Fetching { waiting });
                self.fetch(audience, now_ms);
            }
        }
    }

    fn fetch(&self, audience: Audience, now_ms: i64) {
        let source = Arc::clone(&self.source);
        let order = Order {
            audience,
            identity: self.identity.clone(),
            capability: capability(audience, &self.identity, self.reach),
            now_ms,
        };
        let fetch = async move { (audience, source.fetch(order).await) };
        self.fetches.push(Box::pin(fetch));
    }

    fn settle(
        &mut self,
        audience: Audience,
        given: Result<TokenDetails, SourceError>,
        now_ms: i64,
    ) {
        let slot = self.slots.remove(&audience);
        let answer = match given {
            Ok(details) => {
                tracing::debug!(%audience, expires_ms = details.expires, "Got a token.");
                let kept = Kept {
                    details: details.clone(),
                    since_ms: now_ms,
                };
                self.slots.insert(audience, Slot::Holding(kept));
                Ok(details)
            }
            Err(error) => {
                tracing::warn!(%audience, error = %Report(&error), "Got no token.");
                Err(Refusal::from(&error))
            }
        };
        if let Some(Slot::Fetching { waiting }) = slot {
            for reply in waiting {
                _ = reply.send(answer.clone());
            }
        }
    }

    /// Forgets tokens and open questions: what a source says now may be about
    /// whoever was logged in before.
    fn clear(&mut self, done: oneshot::Sender<()>) {
        self.fetches.clear();
        for slot in std::mem::take(&mut self.slots).into_values() {
            if let Slot::Fetching { waiting } = slot {
                for reply in waiting {
                    let text = "the credentials changed meanwhile; ask again";
                    _ = reply.send(Err(Refusal::Unavailable(text.into())));
                }
            }
        }
        _ = done.send(());
    }
}

impl Kept {
    fn may_serve(&self, refused: bool, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(self.since_ms);
        // A clock that was set back must not keep a token for longer.
        let is_young = (0..REPLACE_SPACING_MS).contains(&age);
        is_young && refused || !refused && 0 <= age && now_ms < self.keep_until_ms()
    }

    fn keep_until_ms(&self) -> i64 {
        let expires = self.details.expires;
        if expires <= 0 {
            return self.since_ms.saturating_add(KEEP_ENDLESS_MS);
        }
        let life = expires.saturating_sub(self.since_ms);
        expires.saturating_sub(KEEP_MARGIN_MS.min(life / 2))
    }
}

#[cfg(test)]
mod tests;
