//! The life events of a chain, as `logs/events.jsonl` keeps them: one JSON
//! object a line.
//!
//! ```text
//! {"ts":"2026-11-21T09:15:40.002Z","event":"ended","part":"transport","incarnation":3,"ending":"signal SEGV","signal":11,…}
//! ```
//!
//! Fields and events may be added; what is unknown reads as [`Life::Unknown`].

use serde::{Deserialize, Serialize};

use super::control::PartState;
use super::ipc::UpstreamStatus;

/// One line of the journal of life events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339 in UTC.
    pub ts: String,
    /// What.
    #[serde(flatten)]
    pub life: Life,
}

/// What our transport says of itself after its ready line, on the same pipe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// A connection to Ably that is in another state than before.
    pub upstream: Option<UpstreamStatus>,
}

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asker {
    /// Its process, as the kernel says, if it came over the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The signal it sent, if it sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Which verb of ours it was, and why it asked, if it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
}

/// Which verb asks for a stop, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Somebody wants it stopped.
    Stop,
    /// A start that was interrupted by Ctrl-C.
    UpGotSigint,
    /// A start that was asked to end.
    UpGotSigterm,
    /// A start whose terminal was closed.
    UpGotSighup,
    /// A start that took longer than it was given.
    UpTimedOut,
    /// One that only a later version knows.
    #[serde(other)]
    Unknown,
}

impl Verb {
    /// `falco stop`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "falco stop",
            Self::UpGotSigint => "falco up, which got SIGINT",
            Self::UpGotSigterm => "falco up, which got SIGTERM",
            Self::UpGotSighup => "falco up, which got SIGHUP",
            Self::UpTimedOut => "falco up, which had waited as long as it was to",
            Self::Unknown => "a falco of a later version",
        }
    }
}

/// Why a part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// By itself.
    #[default]
    Crash,
    /// It was asked to.
    Requested,
    /// It did not get ready in time.
    NeverReady,
    /// It could not be started.
    ExecFailed,
    /// It no longer answered.
    Liveness,
}

impl Cause {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Requested => "requested",
            Self::NeverReady => "never ready",
            Self::ExecFailed => "cannot start",
            Self::Liveness => "no longer answered",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Life {
    /// A supervisor has the lock.
    SupervisorStarted {
        /// Its process.
        pid: u32,
        /// New at every start.
        instance: String,
        /// Its version.
        version: String,
    },
    /// Everything is gone, the supervisor last.
    SupervisorStopped {
        /// From request to gone.
        after_ms: u64,
        /// Who wanted it; nobody if the start failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<Asker>,
    },
    /// A crash had left this socket, and it was removed.
    StaleCleared {
        /// Its path.
        path: String,
    },
    /// Processes of a part had outlived their supervisor, and were ended.
    OutlivedEnded {
        /// The part.
        part: String,
        /// The processes.
        pids: Vec<u32>,
    },
    /// A part is in another state than before.
    State {
        /// Its name.
        part: String,
        /// Which of its lives.
        incarnation: u32,
        /// The state.
        state: PartState,
        /// Its process, while there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        /// When it is started again.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in_ms: Option<u64>,
    },
    /// A life of a part is over.
    Ended {
        /// Its name.
        part: String,
        /// Which of its lives.
        incarnation: u32,
        /// How, for people.
        ending: String,
        /// The exit code, if it exited.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The signal, if one ended it.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Whether the kernel kept an image of its memory.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        core_dumped: bool,
        /// How long it had run.
        uptime_ms: u64,
        /// Why.
        cause: Cause,
    },
    /// A signal was sent.
    Signaled {
        /// To this part.
        part: String,
        /// In which of its lives.
        incarnation: u32,
        /// To the whole group of this process.
        group: u32,
        /// Its name.
        signal: String,
        /// Why.
        why: String,
    },
    /// A part fails again and again.
    CrashLoop {
        /// Its name.
        part: String,
        /// Which of its lives failed last.
        incarnation: u32,
    },
    /// A part that failed again and again does no more.
    CrashLoopOver {
        /// Its name.
        part: String,
        /// Which of its lives.
        incarnation: u32,
    },
    /// Somebody asked for something.
    Asked {
        /// `stop`, `restart`, `reload`, …
        request: String,
        /// Which parts; none means all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<String>,
        /// Who.
        by: Asker,
    },
    /// Every part is ready.
    Ready,
    /// A socket's path no longer leads to it.
    SocketLost {
        /// The path.
        path: String,
    },
    /// A socket's path leads to it again.
    SocketBack {
        /// The path.
        path: String,
    },
    /// Lines never reached a log.
    LogsDropped {
        /// Which log.
        log: String,
        /// How many.
        lines: u64,
    },
    /// A log cannot be written; its newest lines wait in memory.
    LogsFailing {
        /// Which log.
        log: String,
        /// What the kernel said.
        error: String,
    },
    /// A log can be written again, and what waited is written.
    LogsBack {
        /// Which log.
        log: String,
    },
    /// Another configuration was wanted and not taken; nothing changed.
    ReloadRefused {
        /// Why.
        error: String,
    },
    /// A connection to Ably is in another state than before.
    Upstream {
        /// `daemon_falco` or `daemon_nagato`.
        audience: String,
        /// One of the states of Ably's specification.
        state: String,
        /// The last reason for leaving `connected`.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A lane waits for an effect that was refused for good.
    LaneParked {
        /// Its name.
        lane: String,
        /// The route it is a lane of, if not of the chain's own transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<String>,
        /// The effect.
        effect_id: String,
        /// How that failed.
        error: String,
    },
    /// It does so no more.
    LaneOpen {
        /// Its name.
        lane: String,
        /// The route it is a lane of, if not of the chain's own transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<String>,
        /// What became of the effect it waited for.
        why: String,
    },
    /// Kept effects became dead letters, for their route is configured no more.
    RouteGone {
        /// Its name.
        route: String,
        /// How many.
        effects: u64,
    },
    /// An outbox that may hold effects is not where it was.
    OutboxMissed {
        /// What that means, and what to do.
        why: String,
    },
    /// Something that a later version writes.
    #[serde(other)]
    Unknown,
}

impl Life {
    /// The part, or the log, that it is about.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        match self {
            Self::State { part, .. }
            | Self::Ended { part, .. }
            | Self::OutlivedEnded { part, .. }
            | Self::Signaled { part, .. }
            | Self::CrashLoop { part, .. }
            | Self::CrashLoopOver { part, .. } => Some(part),
            Self::LogsDropped { log, .. }
            | Self::LogsFailing { log, .. }
            | Self::LogsBack { log } => Some(log),
            _ => None,
        }
    }
}
