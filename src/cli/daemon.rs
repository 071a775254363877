//! `falco __daemon`: the detached supervisor; and the supervisor as such, which
//! `falco up --foreground` runs too.

mod leftovers;
mod own_log;
mod setup;
mod taken;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::chain::{self, Handles, Ingredients};
use super::config;
use super::exit::{Exit, Failure};
use super::identity;
use super::runtime::block_on;
use super::settings::{Instance, private_directory};
use super::{typed, upkeep};
use crate::clock;
use crate::net::notify::Notifier;
use crate::net::unix;
use crate::paths::Paths;
use crate::process;
use crate::process::capture::Logs;
use crate::process::family;
use crate::process::identity::Identity;
use crate::process::inherited::Inherited;
use crate::process::manager::Manager;
use crate::process::spawn::Spawner;
use crate::process::startup::{GO_PATIENCE, Startup};
use crate::protocol::control::Event;
use crate::protocol::life::Life;
use crate::shutdown::Shutdown;
use crate::supervisor::Until;
use crate::supervisor::instance::{Holder, Lock, Phase, PidFile};
use crate::supervisor::task::{self, Config, Outcome, Recompose};
use leftovers::Leftovers;
use own_log::OwnLog;
pub(super) use setup::Setup;
pub(super) use taken::{once_free, still_held};

/// Events that may wait for whoever watches the start.
const EVENTS_MAX: usize = 256;

/// How long the last words to the launcher may take.
const TOLD_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    pub(super) setup: Setup,
}

/// A supervisor to be: it has the lock.
pub(super) struct Supervisor {
    pub(super) paths: Paths,
    pub(super) lock: Lock,
    pub(super) setup: Setup,
    /// Where the parts inside this process leave their handles.
    pub(super) handles: Handles,
    pub(super) began: Instant,
    /// Who started us as its service.
    pub(super) manager: Manager,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let began = Instant::now();
    process::seal_descriptors();
    let paths = args.instance.create()?;
    let (Some(lock), Some(mut startup)) = (inherited.lock, inherited.startup) else {
        return Err(Failure::new(Exit::Usage, "__daemon is for falco itself").hint("falco up"));
    };
    let hangs = |_| Failure::new(Exit::TimedOut, "the launcher hangs: it did not let us go");
    startup.wait(GO_PATIENCE).map_err(hangs)?;
    let lock =
        Lock::inherited(lock, &paths.lock_file()).map_err(|e| Failure::of(Exit::Internal, &e))?;
    let supervisor = Supervisor {
        handles: Handles::new(&paths),
        paths,
        lock,
        setup: args.setup,
        began,
        manager: inherited.manager,
    };
    block_on(async {
        let (events, news) = mpsc::channel(EVENTS_MAX);
        let tasks = Shutdown::new();
        tasks.spawn(tell_launcher(startup, news));
        let result = supervisor.run((Until::Ready, events.clone())).await;
        if let Err(failure) = &result {
            _ = events.try_send(Event::Failed(failure.to_start()));
        }
        drop(events);
        tasks.drain(TOLD_PATIENCE).await;
        result
    })
}

/// Hands events to the launcher, until the last one or until it is gone.
async fn tell_launcher(mut startup: Startup, mut news: mpsc::Receiver<Event>) {
    while let Some(event) = news.recv().await {
        let last = matches!(event, Event::Ready(_) | Event::Failed(_));
        let Ok(line) = serde_json::to_string(&event) else {
            continue;
        };
        // A few hundred bytes in all: they fit into the socket's buffer.
        if startup.say(&line).is_err() || last {
            return;
        }
    }
}

impl Supervisor {
    /// Runs the chain until it is stopped; `watcher` hears how it goes.
    pub(super) async fn run(
        mut self,
        watcher: (Until, mpsc::Sender<Event>),
    ) -> Result<(), Failure> {
        let holder = holder(Phase::Starting);
        self.lock
            .record(&holder)
            .map_err(|e| cannot("write falco.lock", &e))?;
        private_directory(&self.paths.logs())?;
        private_directory(&self.paths.run())?;
        // The launcher has read it too, but that was before we had the lock.
        let config = config::load(&self.paths, &self.setup.given())?.right()?;
        let logs = Logs::start(self.paths.logs()).map_err(|e| cannot("start a thread", &e))?;
        let _last_words = LastWords(logs.clone());
        let own_log = OwnLog::begin(&logs, &config, self.setup.logging.verbosity());
        let journal = logs.journal();
        journal.note(Life::SupervisorStarted {
            pid: holder.identity.pid,
            instance: holder.instance.clone(),
            version: holder.version.clone(),
        });
        let chain = self.bring_up(config, holder, logs, own_log, watcher);
        let outcome = Box::pin(chain).await;
        outcome.inspect_err(|_| {
            // Else who looks takes it for killed.
            let (after_ms, by) = (0, None);
            journal.note(Life::SupervisorStopped { after_ms, by });
        })?
    }

    /// Runs the chain until it is stopped; how that ended, or why it could not
    /// begin, of which the chain itself has noted nothing.
    async fn bring_up(
        self,
        config: config::Config,
        holder: Holder,
        logs: Logs,
        own_log: OwnLog,
        watcher: (Until, mpsc::Sender<Event>),
    ) -> Result<Result<(), Failure>, Failure> {
        // It is for people, and says nothing of a phase.
        let up = Holder {
            phase: Phase::Up,
            ..holder.clone()
        };
        let _pid_file = pid_file(&self.paths.pid_file(), &up)?;
        let ably_socket = self.paths.ably_socket();
        family::adopt().map_err(|e| cannot("adopt orphans", &e))?;
        let base = self.paths.base().to_path_buf();
        let configured = self.configure(config, holder, logs, own_log, watcher)?;
        let upkeep = Shutdown::new();
        upkeep::begin(&base, &upkeep);
        let outcome = task::run(configured).await;
        upkeep.drain(TOLD_PATIENCE).await;
        // A transport that was killed leaves its socket behind.
        _ = unix::clear_stale(&ably_socket);
        match outcome {
            Ok(Outcome::Stopped) => Ok(Ok(())),
            Ok(Outcome::StartFailed(failure)) => Ok(Err(Failure::from_start(failure))),
            Err(error) => Err(cannot("start", &error)),
        }
    }

    fn configure(
        mut self,
        config: config::Config,
        holder: Holder,
        logs: Logs,
        own_log: OwnLog,
        watcher: (Until, mpsc::Sender<Event>),
    ) -> Result<Config, Failure> {
        let given = std::mem::take(&mut self.manager.sockets);
        // Also if it fails from here on: the last of us is to be gone first.
        let lock = self.lock.keep();
        let paths = &self.paths;
        let until = watcher.0;
        let (device, user) = (config.device_id.as_deref(), config.user_id.as_deref());
        let identity = identity::settle(&paths.identity_file(), device, user)?;
        let spawner = Spawner::start().map_err(|e| cannot("start a thread", &e))?;
        let mut leftovers = Leftovers {
            journal: logs.journal(),
            events: watcher.1.clone(),
            given,
        };
        leftovers.end_children(&paths.run())?;
        let control = leftovers.bind(&paths.control_socket())?;
        let broker_socket = leftovers.bind(&paths.broker_socket())?;
        let falco_socket = leftovers.bind(&paths.falco_socket())?;
        leftovers.clear(&paths.ably_socket())?;
        leftovers.refuse_the_rest();
        let handles = self.handles;
        let ask_ingest = handles.ask_ingest();
        let ask_hung = handles.ask_hung();
        let ask_outbox = handles.ask_outbox();
        let ask_lanes = handles.ask_lanes();
        let ask_left = handles.ask_left();
        let ingredients = Ingredients {
            paths: paths.clone(),
            identity: identity.clone(),
            variables: config::variables(),
            spawner: spawner.clone(),
            broker_socket: Arc::clone(&broker_socket),
            falco_socket: Arc::clone(&falco_socket),
            config,
            closed: Arc::default(),
            debug: self.setup.logging.debug,
            handles,
            life: logs.journal(),
        };
        Ok(Config {
            composition: chain::compose(&ingredients)?,
            recompose: recompose(paths, &self.setup, ingredients, own_log),
            control,
            sockets: vec![broker_socket, falco_socket],
            holder,
            lock,
            base_dir: paths.base().to_path_buf(),
            device_id: identity.device().to_string(),
            user_id: identity.user().to_owned(),
            ably_socket: paths.ably_socket(),
            falco_socket: paths.falco_socket(),
            logs,
            spawner,
            watchers: vec![watcher],
            ask_ingest,
            ask_hung,
            ask_outbox,
            ask_lanes,
            ask_left,
            foreground: matches!(until, Until::End),
            manager: listening(&self.manager),
            began: self.began,
        })
    }
}

/// Reads the configuration anew, and composes the chain it says.
fn recompose(paths: &Paths, setup: &Setup, with: Ingredients, own_log: OwnLog) -> Recompose {
    let (paths, given) = (paths.clone(), setup.given());
    Arc::new(move || {
        let read = || {
            let config = config::load(&paths, &given)?.right()?;
            let (device, user) = (config.device_id.as_deref(), config.user_id.as_deref());
            let identity = identity::settle(&paths.identity_file(), device, user)?;
            if identity != with.identity {
                return Err(another_identity(&paths));
            }
            let with = Ingredients {
                config,
                ..with.clone()
            };
            let composition = chain::compose(&with)?;
            own_log.follow(&with.config);
            Ok(composition)
        };
        read().map_err(|failure| failure.to_refusal())
    })
}

/// Everybody who is connected knows us by it.
fn another_identity(paths: &Paths) -> Failure {
    let error = "another device_id or user_id takes a new start";
    Failure::new(Exit::Config, error).hint(typed::stop_then_up(paths))
}

/// Writes out what is left in the logs, however we end.
struct LastWords(Logs);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// What this process writes of itself as it takes the lock.
pub(super) fn holder(phase: Phase) -> Holder {
    Holder {
        identity: Identity::own(),
        instance: Uuid::now_v7().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        since_ms: clock::now_ms(),
        phase,
    }
}

/// A name that is none is said, and is no reason not to start.
fn listening(manager: &Manager) -> Option<task::Manager> {
    let name = manager.notify_socket.as_ref()?;
    let notifier = Notifier::new(name);
    let notifier = notifier.inspect_err(
        |error| tracing::warn!(name, %error, "The service manager cannot be told anything."),
    );
    Some(task::Manager {
        notifier: notifier.ok()?,
        watchdog: manager.watchdog,
    })
}

/// The pidfile; a full disk is no reason not to start, and the lock holds
/// without it.
fn pid_file(path: &Path, holder: &Holder) -> Result<Option<PidFile>, Failure> {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match PidFile::write(path, holder) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => {
            tracing::warn!(path = %path.display(), %error, "There is no pidfile.");
            Ok(None)
        }
        Err(error) => Err(cannot(&format!("write {}", path.display()), &error)),
    }
}

fn cannot(doing: &str, error: &std::io::Error) -> Failure {
    Failure::to(Exit::CannotCreate, doing, error)
}
