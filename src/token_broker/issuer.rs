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

/// A kept token is not served once it lives no longer than this.
const KEEP_MARGIN_MS: i64 = 120 * 1000;

/// How long an asker waits. Shorter than the client's own 5 s, so that it
/// hears the reason.
const PATIENCE: Duration = Duration::from_secs(4);

/// Askers waiting to be heard; one more waits in its own task.
const ASKS_MAX: usize = 16;

type Reply = oneshot::Sender<Result<TokenDetails, Refusal>>;
type Given = (Audience, Result<TokenDetails, SourceError>);
type Fetch = Pin<Box<dyn Future<Output = Given> + Send>>;

enum Ask {
    Issue { audience: Audience, reply: Reply },
    Clear { done: oneshot::Sender<()> },
}

enum Event {
    Ask(Ask),
    Given(Given),
}

/// What there is for one audience; absent means nothing.
enum Slot {
    Fetching { waiting: Vec<Reply> },
    Holding(TokenDetails),
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
    /// A token for `audience`.
    pub(super) async fn issue(&self, audience: Audience) -> Result<TokenDetails, Refusal> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Issue { audience, reply }).await.ok()?;
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
                Event::Ask(Ask::Issue { audience, reply }) => {
                    self.issue(audience, reply, clock::wire_ms());
                }
                Event::Ask(Ask::Clear { done }) => self.clear(done),
                Event::Given((audience, given)) => self.settle(audience, given),
            }
        }
    }

    fn issue(&mut self, audience: Audience, reply: Reply, now_ms: i64) {
        match self.slots.get_mut(&audience) {
            Some(Slot::Holding(details)) if is_fresh(details, now_ms) => {
                // Whoever has stopped waiting needs no answer.
                _ = reply.send(Ok(details.clone()));
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

    fn settle(&mut self, audience: Audience, given: Result<TokenDetails, SourceError>) {
        let slot = self.slots.remove(&audience);
        let answer = match given {
            Ok(details) => {
                tracing::debug!(%audience, expires_ms = details.expires, "Got a token.");
                self.slots.insert(audience, Slot::Holding(details.clone()));
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

/// Whether a kept token may still be served; one whose end is not known
/// may not.
fn is_fresh(details: &TokenDetails, now_ms: i64) -> bool {
    now_ms < details.expires.saturating_sub(KEEP_MARGIN_MS)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{NOW_MS, order};
    use super::*;
    use crate::protocol::ably::auth::AccessToken;

    fn issuer() -> Issuer {
        let config = Config {
            identity: order().identity,
            source: Source::None,
            reach: Reach::Contract,
        };
        Issuer::new(config).0
    }

    fn token(text: &str, expires: i64) -> TokenDetails {
        TokenDetails {
            token: AccessToken::new(text),
            expires,
            ..TokenDetails::default()
        }
    }

    type Answer = oneshot::Receiver<Result<TokenDetails, Refusal>>;

    fn ask(issuer: &mut Issuer, now_ms: i64) -> Answer {
        let (reply, answer) = oneshot::channel();
        issuer.issue(Audience::DaemonFalco, reply, now_ms);
        answer
    }

    fn told(mut answer: Answer) -> Option<Result<TokenDetails, Refusal>> {
        answer.try_recv().ok()
    }

    #[test]
    fn whoever_asks_meanwhile_waits_for_the_same_answer() {
        let mut issuer = issuer();
        let first = ask(&mut issuer, NOW_MS);
        let second = ask(&mut issuer, NOW_MS);
        assert_eq!(issuer.fetches.len(), 1);

        issuer.settle(Audience::DaemonFalco, Ok(token("t", NOW_MS)));

        assert_eq!(told(first), Some(Ok(token("t", NOW_MS))));
        assert_eq!(told(second), Some(Ok(token("t", NOW_MS))));
    }

    #[test]
    fn a_token_is_kept_until_two_minutes_before_it_expires() {
        let mut issuer = issuer();
        drop(ask(&mut issuer, NOW_MS));
        let expires = NOW_MS + 3_600_000;
        issuer.settle(Audience::DaemonFalco, Ok(token("t", expires)));

        let served = ask(&mut issuer, expires - KEEP_MARGIN_MS - 1);
        assert_eq!(told(served), Some(Ok(token("t", expires))));
        let refetched = ask(&mut issuer, expires - KEEP_MARGIN_MS);
        assert_eq!(told(refetched), None);
    }

    #[test]
    fn a_failure_is_told_to_all_and_not_kept() {
        let mut issuer = issuer();
        let waiting = ask(&mut issuer, NOW_MS);
        issuer.settle(Audience::DaemonFalco, Err(SourceError::None));
        assert_eq!(told(waiting), Some(Err(Refusal::NotAuthenticated)));
        ask(&mut issuer, NOW_MS);
        assert_eq!(issuer.fetches.len(), 2);
    }

    #[test]
    fn clearing_forgets_tokens_and_drops_open_questions() {
        let mut issuer = issuer();
        drop(ask(&mut issuer, NOW_MS));
        issuer.settle(Audience::DaemonFalco, Ok(token("t", i64::MAX)));
        let (reply, other) = oneshot::channel();
        issuer.issue(Audience::DaemonNagato, reply, NOW_MS);

        let (done, mut cleared) = oneshot::channel();
        issuer.clear(done);

        assert!(cleared.try_recv().is_ok());
        assert!(issuer.fetches.is_empty() && issuer.slots.is_empty());
        assert!(
            told(other)
                .expect("answered")
                .expect_err("no token")
                .is_retryable()
        );
    }
}
