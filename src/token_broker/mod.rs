//! The token broker: credentials in, scoped short-lived tokens out.
//!
//! Owns `ably-auth.sock`, the credentials, and the tokens made from them. The
//! transport asks here for a token per audience and never sees a key: a token
//! is for one user, lives an hour, and may do what its audience needs.
//!
//! Promises an answer to every request that is read, in bounded time, and at
//! most one question at a time to wherever tokens come from. A token is kept
//! until two minutes before it expires, or until [`Handle::clear`].
//!
//! Never answers another user (the socket sees to it), whoever does not know
//! the audience's broker token, or for another device. Never logs a secret.
//!
//! Stops with its [`Shutdown`]: the socket goes, open questions are dropped.
//!
//! ```text
//! transport ──request──▶ server ──Ask──▶ issuer ──▶ source: API key (signs a JWT here)
//!           ◀──answer───        ◀─reply─   │                endpoint (HTTPS POST)
//!                                          ▼                command (its standard output)
//!                               per audience: empty | fetching | holding
//! ```

mod command;
mod endpoint;
mod issuer;
mod scope;
mod server;
mod source;

use crate::clock;
use crate::net::unix::Listener;
use crate::protocol::token::{Audience, BrokerToken, BrokerTokens, Refusal};
use crate::shutdown::Shutdown;

use issuer::Issuer;

pub(crate) use self::{
    command::TokenCommand,
    endpoint::TokenEndpoint,
    scope::{Identity, Reach},
    source::Source,
};

/// Whom the broker serves, and from what.
#[derive(Debug)]
pub(crate) struct Config {
    /// The device and the user that tokens are for.
    pub(crate) identity: Identity,
    /// Where tokens come from.
    pub(crate) source: Source,
    /// How far tokens reach.
    pub(crate) reach: Reach,
}

/// Handle to the running broker.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// What the transport must show; new at every start.
    pub(crate) broker_tokens: BrokerTokens,
    issuer: issuer::Handle,
}

/// Starts the broker on `listener`.
#[must_use]
pub(crate) fn start(config: Config, listener: Listener, shutdown: &Shutdown) -> Handle {
    let broker_tokens = BrokerTokens {
        daemon_falco: BrokerToken::from_random(rand::random()),
        daemon_nagato: BrokerToken::from_random(rand::random()),
    };
    let device = config.identity.device();
    let authenticated = !matches!(config.source, Source::None);
    let (issuer, handle) = Issuer::new(config);
    let server = server::Server {
        listener,
        broker_tokens: broker_tokens.clone(),
        device,
        authenticated,
        issuer: handle.clone(),
    };
    shutdown.spawn(issuer.run(shutdown.clone()));
    shutdown.spawn(server.run(shutdown.clone()));
    Handle {
        broker_tokens,
        issuer: handle,
    }
}

/// Gets one token and drops it: whether `config` can give any.
///
/// # Errors
///
/// As the transport would be told.
pub(crate) async fn try_once(config: &Config) -> Result<(), Refusal> {
    let order = source::Order {
        audience: Audience::DaemonFalco,
        capability: scope::capability(Audience::DaemonFalco, &config.identity, config.reach),
        identity: config.identity.clone(),
        now_ms: clock::wire_ms(),
    };
    let token = config.source.fetch(order).await;
    token.map(drop).map_err(|error| Refusal::from(&error))
}

impl Handle {
    /// Forgets every token, so that the next request gets a new one: at
    /// logout, and before a transport starts.
    ///
    /// When this returns, no token from before is served any more.
    pub(crate) async fn clear(&self) {
        self.issuer.clear().await;
    }
}

#[cfg(test)]
mod tests;
