//! How a chain is: what a supervisor says when it is asked, and what
//! `falco status --json` prints.
//!
//! Versioned by [`STATUS_SCHEMA`]; fields may be added under one version, so a
//! reader leaves out what it does not know and has a default for the rest.

mod ingest;
mod part;

use serde::{Deserialize, Serialize};

use super::super::ipc::TransportStatus;
use super::EmulatorPlace;
pub use ingest::{IngestStatus, LatencyStatus, RouteStatus};
pub use part::{LastExit, PartKind, PartState, PartStatus};

/// The version of [`Status`]; fields may be added under one version.
pub const STATUS_SCHEMA: u32 = 1;

/// How the chain is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: u32,
    /// The chain as a whole.
    pub state: ChainState,
    /// New at every start.
    pub instance: String,
    /// The supervisor's version.
    pub version: String,
    /// The supervisor's process.
    pub pid: u32,
    /// The boot it runs in.
    pub boot_id: String,
    /// When it was started, in milliseconds since the epoch.
    pub since_ms: u64,
    /// How long ago that was.
    pub up_ms: u64,
    /// Its memory.
    pub rss_bytes: Option<u64>,
    /// Its CPU time.
    pub cpu_ms: Option<u64>,
    /// The base directory.
    pub base_dir: String,
    /// The device this is.
    pub device_id: String,
    /// The user it belongs to.
    pub user_id: String,
    /// The parts, in starting order.
    pub parts: Vec<PartStatus>,
    /// The sockets that the supervisor itself listens on.
    pub sockets: Vec<SocketStatus>,
    /// What Falco says of itself; absent if it does not answer.
    pub ingest: Option<IngestStatus>,
    /// What the transport says of itself; absent if it does not answer.
    pub transport: Option<TransportStatus>,
    /// Where the emulator is, when there is one.
    pub emulator: Option<EmulatorPlace>,
    /// Whether somebody is logged in.
    pub login: Login,
    /// All logs together.
    pub logs: LogStatus,
    /// Where metrics are served, if they are to be.
    pub metrics: Option<MetricsPlace>,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsPlace {
    /// `127.0.0.1:9464`.
    pub address: String,
    /// Why they are not, though they should be.
    pub trouble: Option<String>,
}

/// Whether there is somebody to publish for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// Whether there is.
    pub state: LoginState,
    /// How, and who said so; never the secret.
    pub how: Option<String>,
    /// The file that keeps it, if `falco login` did.
    pub kept: Option<String>,
}

/// Whether somebody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// Nobody has to be: it is the emulator.
    #[default]
    Emulator,
    /// Somebody is.
    LoggedIn,
    /// Nobody is: nothing can be published.
    LoggedOut,
}

/// How large a log is, and what is missing in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes there may be.
    pub cap: u64,
    /// Lines lost since the start.
    pub dropped: u64,
    /// Why it cannot be written now.
    pub trouble: Option<String>,
}

/// The chain as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainState {
    /// Not every part has been ready yet.
    #[default]
    Starting,
    /// Every part is ready.
    Running,
    /// Up, and something is not as it should be: [`Status::troubles`] says what.
    Degraded,
    /// Going down.
    Stopping,
}

impl ChainState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}

/// A socket of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketStatus {
    /// Its path.
    pub path: String,
    /// Whether the path still leads to it.
    pub in_place: bool,
    /// The permission bits of what is at the path.
    pub mode: Option<u32>,
    /// Whose that is.
    pub uid: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_later_version_is_read_as_far_as_it_is_known() {
        let text = r#"{"schema":1,"state":"degraded","moods":3,"parts":[{"name":"falco","state":"crash-loop"}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.state, ChainState::Degraded);
        assert_eq!(status.parts[0].state, PartState::CrashLoop);
    }
}
