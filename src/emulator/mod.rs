//! The emulator: a local server that stock Ably SDKs take for Ably.
//!
//! Owns one TCP port on the loopback interface, with Ably's websocket and REST
//! protocols on it in JSON and msgpack, and all channels behind it, in memory.
//! A client needs its host, port and key, and `tls: false`. Who supervises it keeps
//! the port while it is started again ([`Port`]).
//!
//! ```text
//! socket ── server ─┬─ session ── Connection ─┐
//!                   └─ rest ──────────────────┴─▶ Hub ─▶ Channel ─▶ Log, Members
//! ```
//!
//! [`hub::Hub`] and what is below it are pure. Sessions and requests reach it
//! through one mutex, which costs nothing: the emulator runs on one thread and
//! never waits while it holds it.
//!
//! Promises what Ably promises to a connected client: an ACK means the message
//! is in its channel's order, each attached client gets every message once or
//! is told that it lost some, a message id sent again within two minutes is
//! published once, if it is among the last 262 144. Keeps nothing across a restart except its key: then resumed
//! connections keep their ids, and every channel says that continuity is lost.
//!
//! Never binds anything but loopback; never lets a slow or greedy client grow
//! its memory (see [`Limits`]). Stops with DISCONNECTED 80003 to every client.

mod access;
mod bind;
mod channel;
mod hub;
mod janitor;
pub(crate) mod key;
mod limits;
mod log;
mod objects;
mod presence;
mod recent;
mod rest;
mod seal;
mod serial;
mod server;
mod session;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tracing::info;

use crate::shutdown::Shutdown;

pub(crate) use bind::{BindError, Port};
pub(crate) use limits::{HistoryLimits, Limits};

use hub::Hub;

/// How long clients have to take their DISCONNECTED.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How to run the emulator.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where it keeps its key and its port.
    pub(crate) dir: PathBuf,
    /// The address to bind, instead of the usual ones.
    pub(crate) listen: Option<SocketAddr>,
    /// What clients may ask and history keeps.
    pub(crate) limits: Limits,
}

/// Why the emulator does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no key and none can be made.
    #[error("the emulator has no key")]
    Key(#[from] key::KeyError),
    /// There is no port to listen on.
    #[error("the emulator cannot listen")]
    Bind(#[from] BindError),
}

/// What sessions and requests share.
#[derive(Debug)]
struct Emulator {
    hub: Mutex<Hub>,
    /// One permit per open socket.
    sockets: Arc<Semaphore>,
}

impl Emulator {
    fn new(hub: Hub) -> Self {
        let sockets = Arc::new(Semaphore::new(hub.limits.connections));
        Self {
            hub: Mutex::new(hub),
            sockets,
        }
    }

    /// The hub. Never kept across an await.
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the emulator until `shutdown`, on the socket that was `given` if there is
/// one; calls `on_ready` once it answers.
///
/// # Errors
///
/// The key or the port cannot be had.
pub(crate) async fn run(
    config: Config,
    given: Option<OwnedFd>,
    shutdown: Shutdown,
    on_ready: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    let key = key::load_or_create(&config.dir)?;
    let listener = bind::bind(&config.dir, config.listen, given)?;
    let address = listener.local_addr().map_err(BindError::Address)?;
    let emulator = Arc::new(Emulator::new(Hub::new(key, config.limits)));
    let tasks = shutdown.child();
    tasks.spawn(janitor::clean_up(emulator.clone(), tasks.clone()));
    info!(%address, "The emulator listens.");
    on_ready(address);
    server::accept(&emulator, &listener, &tasks).await;
    tasks.drain(STOP_GRACE).await;
    Ok(())
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
