//! Handles to the realtime tasks, one per audience.
//!
//! The connection of `daemon_falco` is opened at once. That of `daemon_nagato`
//! waits until somebody subscribes or publishes as nagato: most processes
//! never do, and an idle connection costs memory and heartbeats.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::mailbox::Sink;
use super::realtime::{self, Realtime};
use super::reply::Reply;
use super::request::Subscribe;
use super::subscriptions::SessionId;
use crate::ably::outbox::Publish;
use crate::protocol::ipc::UpstreamStatus;
use crate::protocol::token::Audience;
use crate::shutdown::Shutdown;

/// Requests on their way to a realtime task; sessions wait when it is full.
const COMMANDS_MAX: usize = 1024;

/// What a realtime task is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Publish<Reply>),
    Subscribe {
        session: SessionId,
        wish: Subscribe,
        sink: Sink,
        deadline: Instant,
        reply: Reply,
    },
    Unsubscribe {
        session: SessionId,
        subscription_id: Box<str>,
        reply: Reply,
    },
    /// The session has ended.
    Leave(SessionId),
}

/// The handle to one realtime task.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) commands: mpsc::Sender<Command>,
    /// What goes before every command: heartbeats, which must not wait behind
    /// a backlog, or a busy device would count as gone.
    pub(super) urgent: mpsc::Sender<Publish<Reply>>,
    pub(super) status: watch::Receiver<UpstreamStatus>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Upstreams {
    falco: Upstream,
    nagato: OnceLock<Upstream>,
    config: realtime::Config,
    tasks: Shutdown,
    /// Subscriptions over all clients.
    subscriptions: Arc<AtomicU64>,
}

impl Upstreams {
    /// Opens the connection of `daemon_falco`; tasks live on `tasks`.
    pub(super) fn start(config: realtime::Config, tasks: Shutdown) -> Self {
        let subscriptions = Arc::default();
        Self {
            falco: spawn(Audience::DaemonFalco, &config, &tasks, Arc::default()),
            nagato: OnceLock::new(),
            config,
            tasks,
            subscriptions,
        }
    }

    /// The task of `audience`, started if need be.
    pub(super) fn of(&self, audience: Audience) -> &Upstream {
        match audience {
            Audience::DaemonFalco => &self.falco,
            Audience::DaemonNagato => self.nagato.get_or_init(|| {
                let count = Arc::clone(&self.subscriptions);
                spawn(audience, &self.config, &self.tasks, count)
            }),
        }
    }

    /// Those that run.
    fn running(&self) -> impl Iterator<Item = &Upstream> {
        std::iter::once(&self.falco).chain(self.nagato.get())
    }

    /// How each connection is.
    pub(super) fn status(&self) -> Vec<UpstreamStatus> {
        self.running()
            .map(|upstream| upstream.status.borrow().clone())
            .collect()
    }

    /// How many subscriptions there are.
    pub(super) fn subscriptions(&self) -> u64 {
        self.subscriptions.load(Ordering::Relaxed)
    }
}

/// Tells every change of state, until the connection's task has ended.
async fn tell_changes(
    mut status: watch::Receiver<UpstreamStatus>,
    changes: mpsc::Sender<UpstreamStatus>,
) {
    let mut told = String::new();
    loop {
        let now = status.borrow_and_update().clone();
        if now.state != told {
            told.clone_from(&now.state);
            _ = changes.try_send(now);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn spawn(
    audience: Audience,
    config: &realtime::Config,
    tasks: &Shutdown,
    subscriptions: Arc<AtomicU64>,
) -> Upstream {
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let (urgent, urgently) = mpsc::channel(1);
    let inlet = realtime::Inlet {
        commands: receiver,
        urgent: urgently,
    };
    let (report, status) = watch::channel(UpstreamStatus {
        audience: audience.as_str().to_owned(),
        state: "initialized".to_owned(),
        host: config.hosts.primary().to_string(),
        ..UpstreamStatus::default()
    });
    let task = Realtime::new(audience, config.clone(), inlet, report, subscriptions);
    tasks.spawn(task.run(tasks.clone()));
    if let Some(changes) = config.changes.clone() {
        tasks.spawn(tell_changes(status.clone(), changes));
    }
    Upstream {
        commands,
        urgent,
        status,
    }
}
