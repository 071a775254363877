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

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::ably::hosts::Hosts;
use crate::net::http;
use crate::net::tls::Tls;
use crate::net::unix::Listener;
use crate::protocol::ably::codec::Format;
use crate::protocol::ipc::UpstreamStatus;
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

/// What the last steps of a stop may take if nobody said.
const STOP_BY_UNKNOWN: Duration = Duration::from_millis(500);

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
    /// Who hears of every change of a connection's state; a listener that does
    /// not keep up misses some.
    pub(crate) changes: Option<mpsc::Sender<UpstreamStatus>>,
}

/// When a stop must be over; unknown until it begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopBy(Arc<OnceLock<Instant>>);

impl StopBy {
    /// Says it; what was said first counts.
    fn set(&self, at: Instant) {
        _ = self.0.set(at);
    }

    fn get(&self) -> Instant {
        let now = tokio::time::Instant::now().into_std();
        self.0.get().copied().unwrap_or(now + STOP_BY_UNKNOWN)
    }

    fn left(&self) -> Duration {
        let now = tokio::time::Instant::now().into_std();
        self.get().saturating_duration_since(now)
    }
}

/// Runs until `shutdown` begins, then stops gracefully.
pub(crate) async fn run(config: Config, listener: Listener, shutdown: Shutdown) {
    let stages = Stages {
        sessions: shutdown.child(),
        heartbeats: shutdown.sibling(),
        upstreams: shutdown.sibling(),
        stop_by: StopBy::default(),
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
    stop_by: StopBy,
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
        stop_by: stages.stop_by.clone(),
        changes: config.changes,
    };
    let (objects, sets) = Objects::channel();
    let setting = objects::run(sets, setter, stages.upstreams.clone());
    stages.upstreams.spawn(setting);
    let upstreams = Upstreams::start(upstream_config, stages.upstreams.clone());
    let stop_by = stages.stop_by.clone();
    let stop = stages.heartbeats.clone();
    if let Some(endpoint) = config.heartbeat_endpoint {
        let beating = heartbeat::run_http(config.heartbeat, endpoint, stop_by, stop);
        stages.heartbeats.spawn(beating);
    } else {
        let upstream = upstreams.of(Audience::DaemonFalco);
        let publisher = Publisher::new(upstream.clone(), config.format);
        let status = upstream.status.clone();
        let beating = presence::run(config.heartbeat, publisher, status, stop_by, stop);
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

/// Open requests get half of the time, the farewell and CLOSE what is left.
/// Closing answers what is still open, which its clients may read yet.
async fn stop(stages: &Stages, timeout: Duration) {
    let stop_by = &stages.stop_by;
    let now = tokio::time::Instant::now().into_std();
    stop_by.set(now + timeout.saturating_sub(LAST_ANSWERS));
    let drained = stages.sessions.drain(timeout / 2).await;
    let for_close = timeout / 8;
    let farewell = stop_by.left().saturating_sub(for_close);
    stages.heartbeats.drain(farewell).await;
    // The connection itself gives up by then; it only has to say so.
    let closing = stop_by.left() + LAST_ANSWERS / 2;
    if let Drained::TimedOut { .. } = stages.upstreams.drain(closing).await {
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
