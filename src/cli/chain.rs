//! What the chain is made of: introduces the services to each other.
//!
//! ```text
//! broker ────┐
//!            ├──▶ transport ──▶ falco     started left to right, each after those
//! emulator ──┘                            before it answer; stopped right to left
//! ```
//!
//! The emulator is there only when there are no credentials for Ably.

mod children;
mod servers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::{Config, Upstream};
use super::credentials::{self, Variables};
use super::exit::{Exit, Failure};
use crate::emulator;
use crate::ingest;
use crate::net::unix::Socket;
use crate::paths::Paths;
use crate::process::spawn::Spawner;
use crate::supervisor::chain::{PartId, Plan};
use crate::supervisor::part::PartSpec;
use crate::supervisor::task::AskIngest;
use crate::token_broker::{Identity, Reach, Source};

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
    pub(super) debug: bool,
}

/// A composed chain.
pub(super) struct Composed {
    /// The parts, in starting order.
    pub(super) parts: Vec<PartSpec>,
    /// Whether one of them is the emulator.
    pub(super) has_emulator: bool,
    /// Asks Falco how it is.
    pub(super) ask_ingest: AskIngest,
}

/// Composes the chain for what the environment says.
pub(super) fn compose(with: &Ingredients) -> Result<Composed, Failure> {
    let own_program = own_program()?;
    // Wrong credentials fail the start, before any part is started.
    let has_emulator = matches!(with.source()?, (_, Reach::Local));
    let (handle, falco_handle) = watch::channel(None);
    let (broker, broker_handle) = watch::channel(None);
    let mut parts = vec![servers::broker(with, broker)];
    if has_emulator {
        parts.push(children::emulator(with, own_program.clone()));
    }
    let before_transport = (0..parts.len()).collect();
    parts.push(children::transport(
        with,
        own_program,
        before_transport,
        has_emulator,
        broker_handle,
    ));
    let before_falco = vec![parts.len() - 1];
    parts.push(servers::falco(with, before_falco, handle));
    Ok(Composed {
        parts,
        has_emulator,
        ask_ingest: Arc::new(move || {
            let handle: Option<ingest::Handle> = falco_handle.borrow().clone();
            Box::pin(async move { Some(handle?.status().await) })
        }),
    })
}

impl Ingredients {
    /// Where tokens come from and how far they reach; read anew by every life
    /// of the broker.
    fn source(&self) -> Result<(Source, Reach), Failure> {
        if self.config.upstream != Upstream::Emulator {
            let (variables, directory) = (&self.variables, self.paths.base());
            let files = &self.config.credentials;
            if let Some(source) = credentials::source(variables, files, &self.spawner, directory)? {
                return Ok((source, Reach::Contract));
            }
        }
        let key = emulator::key::load_or_create(&self.paths.emulator());
        let key = key.map_err(|e| Failure::of(Exit::CannotCreate, &e))?;
        Ok((Source::ApiKey(key), Reach::Local))
    }
}

fn plan(name: &'static str, after: Vec<PartId>, stop_grace: Duration) -> Plan {
    Plan {
        name,
        after,
        ready_within: READY_WITHIN,
        stop_grace,
    }
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
