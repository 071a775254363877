//! What a part of the chain is made of: a child process, or a server inside
//! this one. The composition root fills these in; nothing here knows which
//! programs a chain has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::chain::Plan;
use super::probe::Probe;
use crate::net::unix::Socket;
use crate::process::spawn::Spec;
use crate::shutdown::Shutdown;

/// A part of the chain.
pub struct PartSpec {
    /// What is fixed about it.
    pub plan: Plan,
    /// Where it listens, for people; what it says of itself goes before.
    pub place: String,
    /// How it is run.
    pub run: Run,
}

/// How a part is run.
pub enum Run {
    /// As a child process.
    Process(ProcessPart),
    /// Inside this process.
    Server(ServerPart),
}

/// Makes what a child is given, once for every life.
pub type Prepare = Box<dyn Fn(&Facts) -> Result<Launch, String> + Send>;

/// A child process.
pub struct ProcessPart {
    /// Says what to start, from what the parts before it said.
    pub launch: Prepare,
    /// Whether it is a program of ours, which takes the inherited descriptors.
    pub ours: bool,
    /// How it is asked whether it answers.
    pub probe: Probe,
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
pub type Serve = Arc<dyn Fn(Serving) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

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
}

/// What each part said when it became ready; may hold secrets.
#[derive(Clone, Default)]
pub struct Facts(BTreeMap<&'static str, String>);

impl Facts {
    /// What the part called `name` said last.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Notes what a part said; whether that differs from what it said before.
    pub(super) fn note(&mut self, name: &'static str, fact: &str) -> bool {
        let before = self.0.insert(name, fact.to_owned());
        before.is_some_and(|before| before != fact)
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
