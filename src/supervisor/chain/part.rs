//! One part of the chain: its plan and its state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::restart::History;
use super::super::sidecar::RestartPolicy;
use super::pulse::{Pace, Pulse};

/// What is fixed about a part, until the next reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name, unique in the chain.
    pub name: Arc<str>,
    /// Parts that must have been ready once before its first start; those that
    /// are not in the chain do not count.
    pub after: Vec<Arc<str>>,
    /// How long it may take from start to ready.
    pub ready_within: Duration,
    /// How long it may take to end after it was asked to.
    pub stop_grace: Duration,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How often it is asked whether it is alive.
    pub pace: Option<Pace>,
    /// Whether the chain is not up without it. What a required part comes
    /// after is required too.
    pub required: bool,
}

/// Where a part stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It would be started, but for the parts it comes after.
    Waiting,
    /// It runs and does not answer yet.
    Starting {
        /// When it was started.
        since: Instant,
        /// When it is given up on.
        ready_by: Instant,
    },
    /// It answers.
    Ready {
        /// Since when.
        since: Instant,
        /// How it is asked whether it still does.
        pulse: Option<Pulse>,
    },
    /// It was asked to end.
    Stopping {
        /// When it was asked.
        since: Instant,
        /// When it is killed; once killed, when it is written off.
        kill_at: Instant,
        /// When it was killed.
        killed: Option<Instant>,
        /// What comes then.
        after: After,
    },
    /// It outlived SIGKILL; never is another started beside it.
    Stuck {
        /// When it was asked to end.
        since: Instant,
        /// What comes should it end after all.
        after: After,
    },
    /// It failed and waits for its next start.
    BackingOff {
        /// When that is.
        start_at: Instant,
    },
    /// It failed for good.
    GaveUp,
    /// It has done what it was for.
    Finished,
    /// It is gone, as asked.
    Stopped,
}

/// What follows once a part that is being stopped is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Stay,
    /// It is started again at once.
    Again,
    /// It was ended for this reason, which is a failure.
    Retry {
        /// Why.
        ending: Ending,
        /// Since when it had been ready.
        ready_since: Option<Instant>,
    },
    /// It is no part of the chain any more.
    Remove,
}

/// How long a part that is to end has been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// When it was asked to end.
    pub asked: Instant,
    /// When it was killed.
    pub killed: Option<Instant>,
    /// When it is killed; once killed, when it is written off.
    pub until: Instant,
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The process exited with this code.
    Exited(i32),
    /// A signal ended the process.
    Signaled {
        /// Which.
        signal: i32,
        /// Whether the kernel kept an image of its memory.
        core_dumped: bool,
    },
    /// It did not get ready in time.
    NotReady,
    /// It was ready and did not answer any more.
    NotAlive {
        /// What was wrong the last time.
        why: String,
    },
    /// It never ran.
    CannotStart {
        /// Why not.
        error: String,
        /// Whether trying again cannot help.
        permanent: bool,
    },
    /// A server of ours ended or panicked.
    Failed(Fall),
}

/// Why a server of ours cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fall {
    /// What a person reads.
    pub why: String,
    /// The exit code of a start that fails for it, if it has one of its own.
    pub exit: Option<u8>,
    /// Whether trying again cannot help.
    pub permanent: bool,
}

impl From<String> for Fall {
    fn from(why: String) -> Self {
        Self {
            why,
            exit: None,
            permanent: false,
        }
    }
}

impl Ending {
    /// By this signal, without a core.
    #[cfg(test)]
    pub fn by_signal(signal: i32) -> Self {
        Self::Signaled {
            signal,
            core_dumped: false,
        }
    }

    /// The exit code, if it exited.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            _ => None,
        }
    }

    /// The signal, if one ended it, and whether there is a core.
    pub fn signal(&self) -> (Option<i32>, bool) {
        match self {
            Self::Signaled {
                signal,
                core_dumped,
            } => (Some(*signal), *core_dumped),
            _ => (None, false),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::process::child::Exit;
        match self {
            Self::Exited(code) => write!(f, "{}", Exit::Code(*code)),
            Self::Signaled {
                signal,
                core_dumped,
            } => {
                let (signal, core_dumped) = (*signal, *core_dumped);
                let exit = Exit::Signal {
                    signal,
                    core_dumped,
                };
                write!(f, "{exit}")
            }
            Self::NotReady => f.write_str("not ready in time"),
            Self::NotAlive { why } => write!(f, "not alive: {why}"),
            Self::CannotStart { error, .. } => f.write_str(error),
            Self::Failed(fall) => f.write_str(&fall.why),
        }
    }
}

/// The last time a part ended.
#[derive(Debug, Clone)]
pub struct LastEnd {
    /// How.
    pub ending: Ending,
    /// When.
    pub at: Instant,
    /// How long it had run.
    pub uptime: Duration,
}

/// A part and all the chain knows of it.
#[derive(Debug)]
pub struct Part {
    /// What is fixed.
    pub plan: Plan,
    /// Where it stands.
    pub state: State,
    /// Counts its starts; 0 before the first.
    pub incarnation: u32,
    /// Whether those that come after it may start: it was ready, or has
    /// finished.
    pub answered: bool,
    /// When the current incarnation was started.
    pub started: Option<Instant>,
    /// How the incarnation before ended.
    pub last_end: Option<LastEnd>,
    /// Its failures.
    pub history: History,
    /// Whether it was not ready in time, and has not been ready since.
    pub(super) late: bool,
    /// Whether it could not be asked the last time, and that has been said.
    pub(super) unasked: bool,
    /// It is to end once those after it that end too are gone; then this.
    pub(super) leaving: Option<After>,
}

impl Part {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: State::Waiting,
            incarnation: 0,
            answered: false,
            started: None,
            last_end: None,
            history: History::default(),
            late: false,
            unasked: false,
            leaving: None,
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.incarnation += 1;
        self.started = Some(now);
        self.unasked = false;
        self.state = State::Starting {
            since: now,
            ready_by: now + self.plan.ready_within,
        };
    }

    /// Notes how the current incarnation ended.
    pub(super) fn end(&mut self, ending: &Ending, now: Instant) {
        let uptime = self.started.take().map(|s| now.duration_since(s));
        self.last_end = Some(LastEnd {
            ending: ending.clone(),
            at: now,
            uptime: uptime.unwrap_or_default(),
        });
    }

    /// Whether a process or server of it may exist.
    pub fn is_running(&self) -> bool {
        use State::{Ready, Starting, Stopping};
        matches!(self.state, Starting { .. } | Ready { .. } | Stopping { .. })
    }

    /// Whether it runs and is to end, now or soon.
    pub(super) fn is_going(&self) -> bool {
        let stopping = matches!(self.state, State::Stopping { .. });
        stopping || (self.leaving.is_some() && self.is_running())
    }

    /// How long it has been waited for, if it was asked to end.
    pub fn wait(&self) -> Option<Wait> {
        match self.state {
            State::Stopping {
                since,
                kill_at,
                killed,
                ..
            } => Some(Wait {
                asked: since,
                killed,
                until: kill_at,
            }),
            _ => None,
        }
    }

    /// Whether it is as it should be.
    pub fn is_well(&self) -> bool {
        matches!(self.state, State::Ready { .. } | State::Finished)
    }

    /// Whether it does not run, and will not by itself.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Stopped | State::Finished | State::GaveUp)
    }

    /// Whether it was not ready in time, and has not been ready since.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u32 {
        self.incarnation.saturating_sub(1)
    }
}
