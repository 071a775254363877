//! How the parts of a chain are.

use serde::{Deserialize, Serialize};

use super::LogStatus;
use crate::protocol::life::Cause;

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
