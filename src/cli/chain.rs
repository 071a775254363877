//! What the chain is made of: introduces the services to each other.
//!
//! ```text
//! broker ────┐
//!            ├──▶ transport ──▶ falco     started left to right, each after those
//! emulator ──┘                            before it answer; stopped right to left
//! ```
//!
//! The emulator is there only when there are no credentials for Ably, and the
//! transport only unless somebody has logged out. Sidecars of the configuration
//! come in wherever it says.

mod children;
mod keeping;
mod servers;
mod sidecars;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::Config;
use super::credentials::Variables;
use super::exit::{Exit, Failure};
use crate::emulator::Port;
use crate::ingest::{self, Unanswered};
use crate::journal::Home;
use crate::net::unix::Socket;
use crate::paths::Paths;
use crate::process::capture::Journal;
use crate::process::spawn::Spawner;
use crate::protocol::control::Refusal;
use crate::protocol::outbox::OutboxStatus;
use crate::supervisor::chain::Plan;
use crate::supervisor::sidecar::RestartPolicy;
use crate::supervisor::task::{AskHung, AskIngest, AskLanes, AskLeft, AskOutbox, Composition};
use crate::token_broker::{self, Identity};

pub(super) use keeping::{journal, opens_outbox};

/// What Falco itself is called among the parts.
const FALCO: &str = "falco";

/// How long a part may take from start to ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the chain is composed from.
#[derive(Clone)]
pub(super) struct Ingredients {
    pub(super) paths: Paths,
    pub(super) identity: Identity,
    pub(super) variables: Variables,
    pub(super) spawner: Spawner,
    pub(super) broker_socket: Arc<Socket>,
    pub(super) falco_socket: Arc<Socket>,
    pub(super) config: Config,
    /// Tells Falco why there is no transport, if there is none.
    pub(super) closed: Arc<watch::Sender<Option<Arc<str>>>>,
    pub(super) debug: bool,
    pub(super) handles: Handles,
    /// Where life events are noted.
    pub(super) life: Journal,
}

/// Where the parts inside this process leave their handles, life after life
/// and reload after reload.
#[derive(Clone)]
pub(super) struct Handles {
    falco: Arc<watch::Sender<Option<ingest::Handle>>>,
    broker: Arc<watch::Sender<Option<token_broker::Handle>>>,
    /// Where all of Falco's lives keep effects.
    home: Home,
    /// What the emulator's lives listen on.
    port: Arc<Port>,
}

impl Handles {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            falco: Arc::new(watch::Sender::new(None)),
            broker: Arc::new(watch::Sender::new(None)),
            home: Home::marked_in(paths.run()),
            port: Arc::default(),
        }
    }

    /// Asks Falco how it is.
    pub(super) fn ask_ingest(&self) -> AskIngest {
        let falco = self.falco.subscribe();
        Arc::new(move || {
            let handle = falco.borrow().clone();
            Box::pin(async move { Some(handle?.status().await) })
        })
    }

    /// Asks whether a disk that hangs keeps Falco from answering.
    pub(super) fn ask_hung(&self) -> AskHung {
        let falco = self.falco.subscribe();
        Arc::new(move || Some((FALCO, falco.borrow().as_ref()?.why_hung()?)))
    }

    /// How the outbox is, if there is one, once it is read.
    pub(super) async fn outbox_once_read(&self) -> Option<OutboxStatus> {
        let handle = self.falco.borrow().clone()?;
        handle.has_read().await;
        handle.status().await.outbox
    }

    /// Asks Falco about what it keeps on disk.
    pub(super) fn ask_outbox(&self) -> AskOutbox {
        let falco = self.falco.subscribe();
        Arc::new(move |request| {
            let handle = falco.borrow().clone();
            Box::pin(async move {
                let handle = handle.ok_or(Unanswered::NotRunning).map_err(refusal)?;
                handle.outbox(request).await.map_err(refusal)
            })
        })
    }

    /// Asks what is left undone, once everything is gone.
    pub(super) fn ask_left(&self) -> AskLeft {
        let home = self.home.clone();
        Arc::new(move || home.left_behind())
    }

    /// Asks Falco about lanes that are parked.
    pub(super) fn ask_lanes(&self) -> AskLanes {
        let falco = self.falco.subscribe();
        Arc::new(move |request| {
            let handle = falco.borrow().clone();
            Box::pin(async move {
                let handle = handle.ok_or(Unanswered::NotRunning).map_err(refusal)?;
                handle.lanes(request).await.map_err(refusal)
            })
        })
    }
}

/// What whoever asked is told.
fn refusal(unanswered: Unanswered) -> Refusal {
    match unanswered {
        Unanswered::NotRunning => Refusal::absent(unanswered.to_string()),
        Unanswered::Ended => Refusal::late(unanswered.to_string()),
    }
}

/// Composes the chain for what the environment says.
pub(super) fn compose(with: &Ingredients) -> Result<Composition, Failure> {
    let own_program = own_program()?;
    // Wrong credentials fail the start, before any part is started.
    let end = with.end()?;
    let has_emulator = end.is_emulator();
    let closed = end.closed(&with.paths);
    let is_closed = closed.is_some();
    with.closed.send_replace(closed);
    let mut parts = vec![servers::broker(with, &end.source)];
    if has_emulator {
        parts.push(children::emulator(with, own_program.clone()));
    }
    if !is_closed {
        parts.push(children::transport(with, own_program.clone(), has_emulator));
    }
    parts.push(servers::falco(with));
    let logged_in = !has_emulator && !is_closed;
    parts.extend(sidecars::sidecars(with, &own_program, logged_in));
    Ok(Composition {
        parts,
        emulator_key_file: has_emulator.then(|| with.paths.emulator().join("key")),
        login: end.login,
        metrics: with.config.metrics,
    })
}

fn plan(name: &str, after: &[&str], stop_grace: Duration) -> Plan {
    let mut restart = RestartPolicy::default();
    restart.permanent.push(i32::from(Exit::Usage as u8));
    Plan {
        name: name.into(),
        after: after.iter().map(|&name| name.into()).collect(),
        ready_within: READY_WITHIN,
        stop_grace,
        restart,
        pace: None,
        required: true,
    }
}

/// The directory of this executable, where programs may be, too.
pub(super) fn beside() -> Option<PathBuf> {
    let own = own_program().ok()?;
    own.parent().map(Path::to_path_buf)
}

/// This executable, also after it was replaced by an upgrade.
pub(super) fn own_program() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe();
    let path =
        path.map_err(|e| Failure::new(Exit::Internal, format!("cannot find myself: {e}")))?;
    let replaced = cfg!(target_os = "linux") && !path.exists();
    Ok(if replaced {
        "/proc/self/exe".into()
    } else {
        path
    })
}
