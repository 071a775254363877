//! What Falco has to know.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::memo;
use crate::delivery;
use crate::journal;
use crate::process::capture::Journal;
use crate::protocol::envelope::Routing;

/// A transport beside the chain's own.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// What effects call it.
    pub name: Box<str>,
    /// Where it speaks NDJSON; it need not be there yet.
    pub socket: PathBuf,
}

/// Effects on disk.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    /// Where they are kept.
    pub directory: PathBuf,
    /// How.
    pub journal: journal::Config,
    /// Effects that may be kept, dead letters included; each takes memory.
    pub effects_max: usize,
    /// The directory in which this run keeps them, whatever its path comes to
    /// mean.
    pub home: journal::Home,
    /// Whether what arrives is kept; if not, only what an earlier run has left
    /// is published.
    pub records: bool,
    /// How long daemons have after a start to send again, before what was left
    /// is published.
    pub resume_grace: Duration,
}

/// Where sent batches are noted.
#[derive(Debug, Clone)]
pub(crate) struct MemoPlace {
    /// A private directory; it has to exist.
    pub dir: PathBuf,
    /// This boot of the machine.
    pub boot_id: String,
    /// When the other of its two files is begun.
    pub file_bytes_max: usize,
}

impl MemoPlace {
    /// In `dir`, for as long as the machine runs.
    pub(crate) fn new(dir: PathBuf, boot_id: String) -> Self {
        Self {
            dir,
            boot_id,
            file_bytes_max: memo::FILE_BYTES_MAX,
        }
    }
}

/// What Falco has to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where effects go that do not say it themselves.
    pub routing: Routing,
    /// The transport's socket; it need not exist yet.
    pub transport_socket: PathBuf,
    /// Further transports, which effects may name.
    pub routes: Vec<Route>,
    /// Why the chain has no transport of its own, for as long as it has none:
    /// what would go there is refused at once.
    pub closed: watch::Receiver<Option<Arc<str>>>,
    /// Attempts, deadlines and bounds.
    pub delivery: delivery::Config,
    /// Where effects are kept until they are published, if anywhere.
    pub outbox: Option<Outbox>,
    /// How long a stop waits for answers that are on their way. The task group
    /// needs a little longer than this to write the last acks.
    pub shutdown_grace: Duration,
    /// Where is noted what is needed to send batches again as they were; without
    /// it a crash of Falco may show some to subscribers twice.
    pub memo: Option<MemoPlace>,
    /// Where is noted that a lane was parked, or is open again.
    pub life: Option<Journal>,
}

impl Config {
    /// The defaults, for the device with this id.
    pub(crate) fn new(device_id: &str, transport_socket: PathBuf) -> Self {
        Self {
            routing: Routing::for_device(device_id),
            transport_socket,
            routes: Vec::new(),
            closed: watch::channel(None).1,
            delivery: delivery::Config::default(),
            outbox: None,
            shutdown_grace: Duration::from_secs(2),
            memo: None,
            life: None,
        }
    }
}
