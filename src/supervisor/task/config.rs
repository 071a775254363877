//! What a supervisor is made of, and how it ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::super::instance::{Holder, Lock, Phase};
use super::super::part::PartSpec;
use super::super::watchers::Until;
use crate::net::notify::Notifier;
use crate::net::unix::Socket;
use crate::process::capture::Logs;
use crate::process::spawn::Spawner;
use crate::protocol::control::{Event, IngestStatus, Login, Refusal, StartFailure};
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

/// Asks Falco how it is.
pub type AskIngest = Arc<dyn Fn() -> BoxFuture<'static, Option<IngestStatus>> + Send + Sync>;

/// Asks which part a disk that hangs keeps from answering, and what to say of it.
pub type AskHung = Arc<dyn Fn() -> Option<(&'static str, String)> + Send + Sync>;

/// Asks Falco about what it keeps on disk.
pub type AskOutbox =
    Arc<dyn Fn(OutboxRequest) -> BoxFuture<'static, Result<OutboxAnswer, Refusal>> + Send + Sync>;

/// Asks Falco about lanes that are parked.
pub type AskLanes =
    Arc<dyn Fn(LaneRequest) -> BoxFuture<'static, Result<LaneAnswer, Refusal>> + Send + Sync>;

/// Asks what is left undone, once everything is gone.
pub type AskLeft = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What a configuration makes of a chain.
pub struct Composition {
    /// The parts, in starting order.
    pub parts: Vec<PartSpec>,
    /// The file of the emulator's key, if the chain has an emulator.
    pub emulator_key_file: Option<PathBuf>,
    /// Whether somebody is logged in.
    pub login: Login,
    /// Where metrics are to be served.
    pub metrics: Option<SocketAddr>,
}

/// Reads the configuration anew; may wait for a disk. A refusal says what is
/// wrong, and where.
pub type Recompose = Arc<dyn Fn() -> Result<Composition, Refusal> + Send + Sync>;

/// Everything a supervisor is made of.
pub struct Config {
    /// The chain to begin with.
    pub composition: Composition,
    /// Makes another one, for a reload.
    pub recompose: Recompose,
    /// The control socket.
    pub control: Arc<Socket>,
    /// The sockets of the parts inside this process.
    pub sockets: Vec<Arc<Socket>>,
    /// Who we are.
    pub holder: Holder,
    /// The lock on the base directory, ours to the end of the process.
    pub lock: &'static mut Lock,
    /// The base directory.
    pub base_dir: PathBuf,
    /// The device and the user.
    pub device_id: String,
    /// The user.
    pub user_id: String,
    /// The transport's socket.
    pub ably_socket: PathBuf,
    /// Falco's socket.
    pub falco_socket: PathBuf,
    /// Where the output of the parts goes.
    pub logs: Logs,
    /// Spawns the children.
    pub spawner: Spawner,
    /// Who hears how it goes, from the first event on.
    pub watchers: Vec<(Until, mpsc::Sender<Event>)>,
    /// Asks Falco how it is.
    pub ask_ingest: AskIngest,
    /// Asks whether it can answer.
    pub ask_hung: AskHung,
    /// Asks Falco about what it keeps on disk.
    pub ask_outbox: AskOutbox,
    /// Asks Falco about lanes that are parked.
    pub ask_lanes: AskLanes,
    /// Asks what is left undone, once everything is gone.
    pub ask_left: AskLeft,
    /// Whether we end with our terminal.
    pub foreground: bool,
    /// The service manager that started us.
    pub manager: Option<Manager>,
    /// When we were started.
    pub began: Instant,
}

impl Config {
    /// Writes for those who get no answer what we are about.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.holder.phase = phase;
        if let Err(error) = self.lock.record(&self.holder) {
            tracing::debug!(%error, "The lock file cannot be written.");
        }
    }
}

/// A service manager that wants to hear how we are.
pub struct Manager {
    /// Where it listens.
    pub notifier: Notifier,
    /// It must hear from us at least this often.
    pub watchdog: Option<Duration>,
}

/// How a supervisor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop, and everything is gone.
    Stopped,
    /// The chain never became ready, and everything is gone.
    StartFailed(StartFailure),
}
