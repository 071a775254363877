//! The control protocol between the command line and the supervisor, spoken on
//! `falco-control.sock`, and the [status](Status) everybody reads.
//!
//! One request per connection, one JSON object a line. Answers are a stream of
//! [`Event`]s; the last one says how the request ended, then the connection is
//! closed. The detached supervisor reports its own start to its launcher in the
//! same words.
//!
//! ```text
//! → {"op":"status.v1"}
//! ← {"event":"status", …}
//!
//! → {"op":"stop.v1","now":false}
//! ← {"event":"part_stopped","part":"falco","after_ms":3,"killed":false}
//! ← {"event":"stopped","after_ms":41}
//! ```

mod status;
mod trouble;

use serde::{Deserialize, Serialize};

use super::lane::{LaneAnswer, LaneRequest};
use super::life::Verb;
use super::outbox::{OutboxAnswer, OutboxRequest};

pub use status::{
    ChainState, IngestStatus, LastExit, LatencyStatus, LogStatus, Login, LoginState, MetricsPlace,
    PartKind, PartState, PartStatus, RouteStatus, STATUS_SCHEMA, SocketStatus, Status,
};
pub use trouble::Trouble;

/// The longest request line.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What can be asked of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op")]
pub enum Request {
    /// How it is; answered with [`Event::Status`].
    #[serde(rename = "status.v1")]
    Status,
    /// Tell how the start goes; ends with `ready`, `failed` or `stopped`.
    #[serde(rename = "attach.v1")]
    Attach,
    /// Stop the chain, which ends with `stopped`; or these parts of it, which
    /// ends with `done`, or `failed`.
    #[serde(rename = "stop.v1")]
    Stop {
        /// Without grace; only for the whole chain.
        #[serde(default)]
        now: bool,
        /// Names of parts; none means all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<String>,
        /// Who asks, to be told later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verb: Option<Verb>,
    },
    /// Read the configuration anew and do what it says; `reloaded` says what
    /// that is, and it ends with `ready`, or `failed`.
    #[serde(rename = "reload.v1")]
    Reload,
    /// Restart these parts, or all; ends with `ready`, or `failed`.
    #[serde(rename = "restart.v1")]
    Restart {
        /// Names of parts; none means all.
        #[serde(default)]
        parts: Vec<String>,
    },
    /// About what Falco keeps on disk; answered with [`Event::Outbox`].
    #[serde(rename = "outbox.v1")]
    Outbox(OutboxRequest),
    /// About lanes that are parked; answered with [`Event::Lanes`].
    #[serde(rename = "lane.v1")]
    Lanes(LaneRequest),
}

impl Request {
    /// Whether it is withdrawn when whoever asks is gone before it has begun;
    /// anything else is done all the same.
    #[must_use]
    pub fn is_withdrawn_by_leaving(&self) -> bool {
        matches!(self, Self::Status | Self::Outbox(_) | Self::Lanes(_))
    }
}

/// What a supervisor says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A crash had left this socket behind.
    StaleSocket {
        /// Its path.
        path: String,
    },
    /// Processes had outlived a supervisor that was killed, and were ended.
    Outlived {
        /// The part they came from.
        part: String,
        /// They.
        pids: Vec<u32>,
    },
    /// A part does not answer yet, and is at work.
    PartBusy {
        /// Its name.
        part: String,
        /// What it is at.
        what: String,
    },
    /// A part answers.
    PartReady {
        /// Its name.
        part: String,
        /// Its process, if it has one of its own.
        pid: Option<u32>,
        /// From start to ready.
        after_ms: u64,
        /// Where it listens.
        place: String,
    },
    /// A part ended though nobody asked it to.
    PartEnded {
        /// Its name.
        part: String,
        /// How.
        ending: String,
        /// When it is started again; absent means never.
        retry_in_ms: Option<u64>,
    },
    /// A part is gone as asked.
    PartStopped {
        /// Its name.
        part: String,
        /// From request to gone.
        after_ms: u64,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A part has done what it was for.
    PartFinished {
        /// Its name.
        part: String,
    },
    /// Who comes after a part that is stopped or restarted by name.
    Dependents {
        /// The part's name.
        part: String,
        /// These go with it.
        taken: Vec<String>,
        /// These go on without it.
        left: Vec<String>,
    },
    /// What a reload does with whom.
    Reloaded(Reloaded),
    /// Parts were asked to end and take their time; told every second.
    Waiting {
        /// Who is waited for.
        parts: Vec<PartWaiting>,
        /// In how long everything is gone at the latest; absent unless the whole
        /// chain stops.
        #[serde(skip_serializing_if = "Option::is_none")]
        within_ms: Option<u64>,
    },
    /// Processes of a part would not die.
    PartStuck {
        /// Its name.
        part: String,
        /// What is left of it.
        pids: Vec<u32>,
    },
    /// Final: the chain is up: every part answers, but for those it says.
    Ready(Summary),
    /// Final: the start failed and nothing stays.
    Failed(StartFailure),
    /// Final: everything is gone.
    Stopped {
        /// From request to gone.
        after_ms: u64,
        /// What was left undone, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<String>,
    },
    /// Final: the parts that were named are gone.
    Done {
        /// From request to gone.
        after_ms: u64,
    },
    /// Final: how it is.
    Status(Box<Status>),
    /// Final: what the outbox says.
    Outbox(Box<OutboxAnswer>),
    /// Final: what became of parked lanes.
    Lanes(Box<LaneAnswer>),
    /// Final: the request was refused.
    Refused(Refusal),
    /// What a later version tells, and this one does not know.
    #[serde(other)]
    Unknown,
}

/// A part that was asked to end and has not yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PartWaiting {
    /// Its name.
    pub part: String,
    /// Its processes, the first one first; none if it runs in the supervisor.
    pub pids: Vec<u32>,
    /// What it was asked with; absent if it runs in the supervisor.
    pub signal: Option<String>,
    /// How long ago.
    pub since_ms: u64,
    /// When it is killed; absent if it was.
    pub kill_in_ms: Option<u64>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For people.
    pub error: String,
    /// For programs.
    #[serde(default)]
    pub why: Why,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It names something that there is not.
    Unknown,
    /// The configuration is wrong.
    Config,
    /// The files it takes are not ours to use.
    Permission,
    /// It took too long, or was cut short: nobody knows whether it was done.
    Late,
    /// Whoever it is for does not run, and was not asked.
    Absent,
    /// It cannot be done as things are; also whatever a later version says.
    #[default]
    #[serde(other)]
    Impossible,
}

impl Refusal {
    /// It cannot be done as things are.
    pub fn impossible(error: impl Into<String>) -> Self {
        Self::of(Why::Impossible, error)
    }

    /// Nobody knows whether it was done.
    pub fn late(error: impl Into<String>) -> Self {
        Self::of(Why::Late, error)
    }

    /// Whoever it is for does not run.
    pub fn absent(error: impl Into<String>) -> Self {
        Self::of(Why::Absent, error)
    }

    /// There is nothing of that name.
    pub fn unknown(error: impl Into<String>) -> Self {
        Self::of(Why::Unknown, error)
    }

    fn of(why: Why, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            why,
            hint: None,
        }
    }
}

/// What a reload does with whom, by name and in starting order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// They go on as they are.
    pub kept: Vec<String>,
    /// They go on, and are asked, stopped, restarted or logged in another way.
    pub updated: Vec<String>,
    /// What they are given changed, or they go with one of those.
    pub restarted: Vec<String>,
    /// They are new.
    pub started: Vec<String>,
    /// They are gone.
    pub stopped: Vec<String>,
}

/// What a ready chain offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The supervisor's process.
    pub pid: u32,
    /// New at every start.
    pub instance: String,
    /// From the supervisor's start to ready.
    pub took_ms: u64,
    /// How long it has been up.
    pub up_ms: u64,
    /// Parts of the chain.
    pub parts: usize,
    /// Parts that answer.
    pub parts_ready: usize,
    /// Those that do not.
    pub missing: Vec<Missing>,
    /// Where daemons write side effects to.
    pub falco_socket: String,
    /// Where NDJSON is spoken.
    pub ably_socket: String,
    /// The device this is.
    pub device_id: String,
    /// The user it belongs to.
    pub user_id: String,
    /// Whom it publishes for; an older version does not say.
    pub login: Option<LoginState>,
    /// Where the emulator is, when there is one.
    pub emulator: Option<EmulatorPlace>,
}

/// A part that a chain is up without.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Missing {
    /// Its name.
    pub part: String,
    /// How it ended last, or why nobody reaches it.
    pub why: String,
}

/// Where the emulator listens and where its key is; never the key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EmulatorPlace {
    /// `127.0.0.1:8099`.
    pub address: String,
    /// The file that holds the key.
    pub key_file: String,
}

/// Why a start failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// The exit code for it.
    pub exit: u8,
    /// What went wrong.
    pub error: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The part that failed, whose log says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_object_named_by_op() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        assert_eq!(parse(r#"{"op":"status.v1"}"#).unwrap(), Request::Status);
        let stop = parse(r#"{"op":"stop.v1"}"#).unwrap();
        let whole = Request::Stop {
            now: false,
            parts: Vec::new(),
            verb: None,
        };
        assert_eq!(stop, whole);
        assert!(parse(r#"{"op":"dance.v1"}"#).is_err());
    }

    #[test]
    fn a_refusal_of_another_version_is_still_one() {
        let parse = |text: &str| serde_json::from_str::<Event>(text).unwrap();
        let refused = Event::Refused(Refusal::impossible("no"));
        assert_eq!(parse(r#"{"event":"refused","error":"no"}"#), refused);
        let text = r#"{"event":"refused","error":"no","why":"full_moon"}"#;
        assert_eq!(parse(text), refused);
        let unknown = Event::Refused(Refusal::unknown("who?"));
        let text = serde_json::to_string(&unknown).unwrap();
        assert_eq!(
            text,
            r#"{"event":"refused","error":"who?","why":"unknown"}"#
        );
    }

    #[test]
    fn an_event_of_a_later_version_is_passed_over() {
        let text = r#"{"event":"part_dances","part":"falco"}"#;
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), Event::Unknown);
    }
}
