//! The transport: requests in on `ably.sock`, messages out to Ably, and back.
//!
//! Owns the clients of `ably.sock`, the realtime connections (one per
//! audience), the object sets over REST, and the heartbeats. Runs as the
//! program `daemon-ably`, under any supervisor.
//!
//! ```text
//! client ◀─NDJSON─▶ session ─▶ upstream (daemon_falco)  ◀─websocket─▶ Ably
//! client ◀─NDJSON─▶ session ─▶ upstream (daemon_nagato) ◀─websocket─▶ Ably
//!                          └─▶ objects ──────────────────REST──────▶ Ably
//! ```
//!
//! Promises: clients are taken at once, whether or not Ably can be reached;
//! every request that has an id is answered exactly once; publishes of one
//! audience leave in the order they were asked for; a client that does not
//! read slows nobody else.
//!
//! Never retries a publish by itself, except on a new websocket of the same
//! connection, with the same message id: patience is the requester's.
//!
//! Stops in order: no new clients and no more reading, open requests
//! answered, `offline` said, connections closed; all within the shutdown
//! timeout.

pub(crate) mod connectivity;
pub(crate) mod heartbeat;
mod mailbox;
pub(crate) mod object;
mod objects;
mod presence;
mod publisher;
mod realtime;
mod reply;
mod request;
mod server;
mod session;
mod subscriptions;
pub(crate) mod token;
mod upstream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::ably::hosts::Hosts;
use crate::net::http;
use crate::net::tls::Tls;
use crate::net::unix::Listener;
use crate::protocol::ably::codec::Format;
use crate::protocol::token::Audience;
use crate::shutdown::{Drained, Shutdown};
use heartbeat::{Heartbeat, HeartbeatEndpoint};
use objects::{Objects, Setter};
use publisher::Publisher;
use request::Reader;
use server::Shared;
use token::TokenClient;
use upstream::Upstreams;

/// How long clients have to take the last answers of a stop.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// What a transport is to do.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where Ably is.
    pub(crate) hosts: Hosts,
    /// How protocol messages are written.
    pub(crate) format: Format,
    /// Where tokens come from.
    pub(crate) tokens: TokenClient,
    /// The longest line a client may send.
    pub(crate) line_max: usize,
    /// The patience of requesters that name none.
    pub(crate) publish_timeout: Duration,
    /// How long a graceful stop may take.
    pub(crate) shutdown_timeout: Duration,
    /// When this device says that it is here.
    pub(crate) heartbeat: Heartbeat,
    /// Where to, if not as an Ably message.
    pub(crate) heartbeat_endpoint: Option<HeartbeatEndpoint>,
}

/// Runs until `shutdown` begins, then stops gracefully.
pub(crate) async fn run(config: Config, listener: Listener, shutdown: Shutdown) {
    let stages = Stages {
        sessions: shutdown.child(),
        heartbeats: Shutdown::new(),
        upstreams: Shutdown::new(),
    };
    let timeout = config.shutdown_timeout;
    let shared = start(config, &stages);
    info!(socket = %listener.path().display(), "The transport takes requests.");
    server::serve(listener, shared, stages.sessions.clone()).await;
    stop(&stages, timeout).await;
}

/// What is stopped one after the other.
struct Stages {
    sessions: Shutdown,
    heartbeats: Shutdown,
    upstreams: Shutdown,
}

fn start(config: Config, stages: &Stages) -> Arc<Shared> {
    let tls = Tls::system();
    let http = Arc::new(http::Client::new(tls.clone()));
    let setter = Setter {
        http: Arc::clone(&http),
        origin: realtime::origin(config.hosts.primary()),
        tokens: config.tokens.clone(),
    };
    let upstream_config = realtime::Config {
        hosts: config.hosts,
        format: config.format,
        agent: agent(),
        tokens: config.tokens,
        http,
        tls,
        close_patience: config.shutdown_timeout / 4,
    };
    let (objects, sets) = Objects::channel();
    let setting = objects::run(sets, setter, stages.upstreams.clone());
    stages.upstreams.spawn(setting);
    let upstreams = Upstreams::start(upstream_config, stages.upstreams.clone());
    let farewell = config.shutdown_timeout / 4;
    let stop = stages.heartbeats.clone();
    if let Some(endpoint) = config.heartbeat_endpoint {
        let beating = heartbeat::run_http(config.heartbeat, endpoint, farewell, stop);
        stages.heartbeats.spawn(beating);
    } else {
        let upstream = upstreams.of(Audience::DaemonFalco);
        let publisher = Publisher::new(upstream.clone(), config.format);
        let status = upstream.status.clone();
        let beating = presence::run(config.heartbeat, publisher, status, farewell, stop);
        stages.heartbeats.spawn(beating);
    }
    Arc::new(Shared {
        upstreams,
        objects,
        reader: Reader {
            format: config.format,
            default_timeout: config.publish_timeout,
        },
        line_max: config.line_max,
        clients: 0.into(),
    })
}

/// Open requests get half of the time, the farewell and CLOSE the rest. Closing
/// answers what is still open, which its clients may read yet.
async fn stop(stages: &Stages, timeout: Duration) {
    let drained = stages.sessions.drain(timeout / 2).await;
    stages.heartbeats.drain(timeout / 4).await;
    if let Drained::TimedOut { .. } = stages.upstreams.drain(timeout / 4).await {
        warn!("Stopped without Ably's answer to CLOSE.");
    }
    if let Drained::TimedOut { left } = drained {
        warn!(
            sessions = left,
            "Stopped with requests that Ably has not answered."
        );
        stages.sessions.drain(LAST_ANSWERS).await;
    }
    info!("The transport has stopped.");
}

/// What we tell Ably that we are (RTN2g).
fn agent() -> String {
    concat!("falco/", env!("CARGO_PKG_VERSION"), " rust").to_owned()
}
