//! How a chain is: what a supervisor says when it is asked, and what
//! `falco status --json` prints.
//!
//! Versioned by [`STATUS_SCHEMA`]; fields may be added under one version, so a
//! reader leaves out what it does not know and has a default for the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::ipc::TransportStatus;
use super::super::lane::{ParkedLane, StuckLane};
use super::super::life::Cause;
use super::super::outbox::OutboxStatus;
use super::EmulatorPlace;

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

/// How one part is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PartStatus {
    /// Its name.
    pub name: String,
    /// Whether it is a process or runs inside the supervisor.
    pub kind: PartKind,
    /// Where it stands.
    pub state: PartState,
    /// Whether it answers.
    pub ready: bool,
    /// Whether the chain comes up without it, too.
    pub optional: bool,
    /// Why it does not, if it should.
    pub trouble: Option<String>,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Counts its starts.
    pub incarnation: u32,
    /// How long this incarnation has run.
    pub up_ms: Option<u64>,
    /// Starts after the first.
    pub restarts: u32,
    /// When it is started again.
    pub next_retry_ms: Option<u64>,
    /// How the incarnation before ended.
    pub last_exit: Option<LastExit>,
    /// Its memory.
    pub rss_bytes: Option<u64>,
    /// Its CPU time.
    pub cpu_ms: Option<u64>,
    /// Of one CPU, over its life.
    pub cpu_pct: Option<f64>,
    /// Where it listens.
    pub place: String,
    /// What it says of itself, in the manner of `sd_notify`.
    pub says: Option<String>,
    /// What it wrote last, if it fails; whoever asks has read that in its log.
    pub said_last: Option<String>,
    /// How often in a row it failed.
    pub failures: u32,
    /// How long ago it failed first of those times.
    pub failing_ms: Option<u64>,
    /// Its log, if it has one of its own.
    pub log: Option<LogStatus>,
}

impl PartStatus {
    /// Whether it is as it should be: it answers, or has done what it was for.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.ready || self.state == PartState::Finished
    }

    /// Whether nothing of it runs, or is about to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let over = matches!(
            self.state,
            PartState::Stopped | PartState::Finished | PartState::Failed
        );
        over && self.pid.is_none()
    }
}

/// Whether a part is a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A child process.
    #[default]
    Process,
    /// A server inside the supervisor.
    Server,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartState {
    /// It waits for parts before it.
    #[default]
    Waiting,
    /// It runs and does not answer yet.
    Starting,
    /// It answers.
    Running,
    /// It was asked to end.
    Stopping,
    /// It failed and is started again soon.
    Backoff,
    /// It fails again and again.
    CrashLoop,
    /// It failed for good.
    Failed,
    /// It has done what it was for.
    Finished,
    /// It is gone.
    Stopped,
}

impl PartState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::CrashLoop => "crash-loop",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// How a part ended last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LastExit {
    /// How, for people.
    pub ending: String,
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// Whether the kernel kept an image of its memory then.
    pub core_dumped: bool,
    /// How long ago.
    pub ago_ms: u64,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// How long it had run.
    pub uptime_ms: u64,
    /// Why.
    pub cause: Option<Cause>,
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

/// How one of the transports is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    /// What effects call it; the chain's own is `(own)`.
    pub name: String,
    /// Where it is.
    pub socket: String,
    /// Whether the connection to it stands.
    pub connected: bool,
    /// How long it has not, in milliseconds.
    pub down_ms: u64,
    /// Effects waiting in a lane.
    pub queued: u64,
    /// Effects sent to it and not yet answered.
    pub in_flight: u64,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_age_ms: u64,
}

impl RouteStatus {
    /// As long as Ably's own connection may be lost before it counts as
    /// suspended: shorter, somebody restarts it.
    const RESTART_MS: u64 = 120_000;

    /// Whether nobody has served it for so long that a person should look at it.
    #[must_use]
    pub fn is_down(&self) -> bool {
        !self.connected && Self::RESTART_MS <= self.down_ms
    }
}

/// What Falco says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IngestStatus {
    /// Daemons connected to `falco.sock`.
    pub connections: u64,
    /// Lanes that hold an effect.
    pub lanes: u64,
    /// Effects waiting in a lane.
    pub queued: u64,
    /// Effects sent to the transport and not yet answered.
    pub in_flight: u64,
    /// Age of the oldest unanswered effect, in milliseconds.
    pub oldest_age_ms: u64,
    /// Effects taken from daemons since the start.
    pub accepted: u64,
    /// Effects answered with SUCCESS.
    pub succeeded: u64,
    /// Effects answered with FAILED.
    pub failed: u64,
    /// Those, by the word their answer begins with; none is left out.
    pub failures: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Effects sent again though nobody could say whether they had been
    /// published: each may be a duplicate, with the same id.
    pub doubtful: u64,
    /// Answers of a transport that came when nobody waited for them any more. One
    /// that says that an effect is published counts all the same.
    pub late: u64,
    /// Effects published since the start; with an outbox that is later than
    /// their answer.
    pub published: u64,
    /// Those of the last 10 seconds.
    pub published_10s: u64,
    /// Those of the last minute.
    pub published_60s: u64,
    /// Lanes that wait for an effect that was refused for good.
    pub parked: u64,
    /// A few of them.
    pub parked_lanes: Vec<ParkedLane>,
    /// The lane that has tried its next effect in vain the longest, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<StuckLane>,
    /// How often a lane was parked since the start.
    pub parkings: u64,
    /// How often one was to be, and went on because no more may be parked.
    pub unparked: u64,
    /// How often an effect failed for now, and what came behind it was let past,
    /// though its number or its flag asked for more, because too many are waited for.
    pub unguarded: u64,
    /// How long SUCCESS took from when Falco had taken an effect.
    pub success_took: LatencyStatus,
    /// How long FAILED took.
    pub failure_took: LatencyStatus,
    /// Each transport by itself, the chain's own first.
    pub routes: Vec<RouteStatus>,
    /// Whether the connection to the transport stands.
    pub transport_connected: bool,
    /// The last failure, as the daemon was told.
    pub last_error: Option<String>,
    /// When that was, in milliseconds since the epoch.
    pub last_error_ms: u64,
    /// What is kept on disk, if anything is.
    pub outbox: Option<OutboxStatus>,
}

/// How long something took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyStatus {
    /// How often it happened.
    pub count: u64,
    /// What it took in all, in microseconds.
    pub sum_us: u64,
    /// How often it was within which bound in microseconds, each counted once.
    pub buckets: Vec<(u64, u64)>,
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
