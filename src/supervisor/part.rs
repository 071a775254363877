//! What a part of the chain is made of: a child process, or a server inside
//! this one. The composition root fills these in; nothing here knows which
//! programs a chain has.

mod unprepared;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

pub use unprepared::Unprepared;

use super::chain::{Fall, Plan};
use super::probe::Probe;
use super::sidecar::{LinePattern, LogLimits, StopSignal};
use crate::net::unix::Socket;
use crate::process::spawn::Spec;
use crate::shutdown::Shutdown;

/// A part of the chain.
pub struct PartSpec {
    /// What is fixed about it.
    pub plan: Plan,
    /// Where it listens, for people; what it says of itself goes before.
    pub place: String,
    /// What it is given; another one means that it has to be started anew.
    pub essence: Essence,
    /// How it is run.
    pub run: Run,
}

impl PartSpec {
    /// Whether `other` is treated in the same way: asked, stopped, restarted and
    /// logged.
    pub(super) fn is_treated_as(&self, other: &Self) -> bool {
        let run = match (&self.run, &other.run) {
            (Run::Process(one), Run::Process(other)) => {
                one.ready == other.ready
                    && one.alive == other.alive
                    && one.stop_signal == other.stop_signal
                    && one.log_limits == other.log_limits
            }
            (Run::Server(_), Run::Server(_)) => true,
            _ => false,
        };
        run && self.plan == other.plan
    }
}

/// Stands for everything a part is given: two parts with one essence need not
/// be started for each other. A hash, since some of it is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Essence([u8; 32]);

impl Essence {
    /// The essence of what is made of these, in this order.
    pub fn of(made_of: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut hash = Sha256::new();
        for bytes in made_of {
            let bytes = bytes.as_ref();
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        Self(hash.finalize().into())
    }
}

/// How a part is run.
pub enum Run {
    /// As a child process.
    Process(Box<ProcessPart>),
    /// Inside this process.
    Server(ServerPart),
}

/// Makes what a child is given, once for every life.
pub type Prepare = Box<dyn Fn(&Facts) -> Result<Launch, Unprepared> + Send>;

/// A child process.
pub struct ProcessPart {
    /// Says what to start, from what the parts before it said.
    pub launch: Prepare,
    /// Whether what the parts before it said decides what it is given: another
    /// word then means another life.
    pub heeds_facts: bool,
    /// How it comes to end with us.
    pub tie: Tie,
    /// How large its log may get.
    pub log_limits: LogLimits,
    /// What shows that it is ready.
    pub ready: ReadyBy,
    /// What shows later on that it is alive; how often it is asked is planned.
    pub alive: Option<Alive>,
    /// Lets go of what its lives share, once none is to come by itself; called
    /// again and again.
    pub at_rest: Option<Box<dyn Fn() + Send>>,
    /// What it is asked to end with.
    pub stop_signal: StopSignal,
    /// Where it may say how it is.
    pub notices: Option<PathBuf>,
}

/// How a child comes to end with a supervisor that is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tie {
    /// By itself: it is a program of ours, which takes the inherited
    /// descriptors, a lifeline among them.
    Lifeline,
    /// Through a guard, which this program of ours becomes.
    Guard(PathBuf),
    /// As far as the kernel sees to it.
    Kernel,
}

/// What shows that a child is ready.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadyBy {
    /// It answers; a program of ours says a word first.
    Probe(Probe),
    /// It says so to its notify socket.
    Notify,
    /// It writes to the descriptor that it was given.
    Descriptor,
    /// It prints such a line.
    Line(LinePattern),
    /// It has run for so long.
    Runs(Duration),
}

impl ReadyBy {
    /// What did not come, if it never got ready.
    pub(super) fn lacks(&self) -> Option<String> {
        match self {
            Self::Probe(_) | Self::Runs(_) => None,
            Self::Notify => Some("it sent no READY=1 to NOTIFY_SOCKET".to_owned()),
            Self::Descriptor => Some("it wrote nothing to FALCO_READY_FD".to_owned()),
            Self::Line(pattern) => {
                let pattern = pattern.as_str();
                Some(format!("it printed no line that matches {pattern:?}"))
            }
        }
    }
}

/// What shows that a child is alive.
#[derive(Debug, Clone, PartialEq)]
pub struct Alive {
    /// What is asked.
    pub by: AliveBy,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What is asked of a child that is to be alive.
#[derive(Debug, Clone, PartialEq)]
pub enum AliveBy {
    /// It answers.
    Probe(Probe),
    /// It has sent a notice since the last time.
    Watchdog {
        /// How often it is to send one.
        within: Duration,
    },
}

/// A child to be started.
pub struct Launch {
    /// What it is given.
    pub spec: Spec,
    /// What it is told in secret, if it is ours.
    pub secrets: Option<String>,
    /// What has to be done first, every time.
    pub before: Option<BoxFuture<'static, ()>>,
}

/// Makes a server's future, once for every life.
pub type Serve = Arc<dyn Fn(Serving) -> BoxFuture<'static, Result<(), Fall>> + Send + Sync>;

/// A server inside this process.
pub struct ServerPart {
    /// Runs it until its shutdown has begun; what it still does then it spawned
    /// through that shutdown, and it is waited for.
    pub serve: Serve,
    /// Whether it has a thread and a runtime of its own.
    pub own_thread: bool,
    /// Where it is reached.
    pub socket: Arc<Socket>,
}

/// What a server is given.
pub struct Serving {
    /// Stops it.
    pub shutdown: Shutdown,
    /// Takes one word once it answers: what the parts after it need to know.
    pub ready: oneshot::Sender<String>,
    /// Takes what it is at until then: whoever says so has longer to get ready.
    pub busy: mpsc::Sender<String>,
}

/// What each part said when it became ready; may hold secrets.
#[derive(Clone, Default)]
pub struct Facts(BTreeMap<Arc<str>, String>);

impl Facts {
    /// What the part called `name` said last.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Notes what a part said; whether that differs from what it said before.
    pub(super) fn note(&mut self, name: &Arc<str>, fact: &str) -> bool {
        let before = self.0.insert(Arc::clone(name), fact.to_owned());
        before.is_some_and(|before| before != fact)
    }

    /// Forgets a part that is one no more.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_essence_tells_apart_what_only_reads_the_same_in_a_row() {
        assert_eq!(Essence::of(["ab", "c"]), Essence::of(["ab", "c"]));
        assert_ne!(Essence::of(["ab", "c"]), Essence::of(["a", "bc"]));
    }
}
