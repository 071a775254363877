//! `falco up`: bring the chain up and return when every part answers.
//!
//! The launcher takes the instance lock and hands it to the detached
//! supervisor, so there is no moment between the check and the start. If the
//! lock is taken, it attaches: to a start in progress, or to a chain that runs.

mod asked_for;
mod attach;
mod change;
mod launch;
mod report;
mod stay;
mod warnings;

use std::time::{Duration, Instant};

use super::chain::Handles;
use super::config::{self, Loaded, UP_TIMEOUT};
use super::daemon::{self, Setup, Supervisor};
use super::exit::{Exit, Failure};
use super::holder;
use super::output;
use super::progress::Progress;
use super::runtime::block_on;
use super::service::{Manager, Owner, Place};
use super::settings::{Instance, private_directory, seconds_to_wait};
use super::typed;
use crate::paths::Paths;
use crate::process::inherited::Inherited;
use crate::process::manager::Manager as Started;
use crate::protocol::control::{Event, Summary};
use crate::supervisor::instance::{Asked, Holder, Lock, Phase};
use asked_for::AskedFor;
use attach::attach;
use change::Change;
use launch::Launch;
use report::{Report, complete};
use stay::stay;
use warnings::warn;

/// How long to wait before looking at a busy lock again.
///
/// Between taking the lock and listening on the control socket a supervisor
/// needs a few milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long the lock may be held by somebody who only looks, such as a status.
const LOOKING: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
    /// Stay in the foreground until stopped (for terminals, systemd, containers)
    #[arg(long)]
    foreground: bool,
    /// Give up when the chain is not ready after this many seconds [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds_to_wait())]
    timeout: Option<u64>,
    #[command(flatten)]
    owner: Owner,
    /// Who starts us as its service
    #[arg(long, value_enum, hide = true)]
    manager: Option<Manager>,
    /// Print what is up as one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Say nothing unless it fails, or the outbox does not keep what it should
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let launchd = args.manager == Some(Manager::Launchd);
    match bring_up(args, inherited) {
        // launchd starts again what fails, for ever: the only way to be left
        // alone is to end well.
        Err(failure) if launchd && failure.exit().is_hopeless() => {
            failure.report();
            Ok(())
        }
        done => done,
    }
}

fn bring_up(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let began = Instant::now();
    if args.foreground {
        // The supervisor is in here: it must never wait for a terminal.
        output::aside()?;
    }
    let paths = args.instance.create()?;
    private_directory(&paths.logs())?;
    let mut progress = Progress::new(args.quiet);
    if args.foreground {
        progress = progress.with_way_out("press Ctrl-C again to kill now");
    }
    let loaded = config::load(&paths, &args.setup.given());
    let deadline = Deadline::new(began, &args, loaded.as_ref().ok());
    let asked_for = AskedFor::of(&args.setup, loaded.as_ref().ok());
    // A unit that runs `falco up` is the service itself.
    let is_service = inherited.manager.notify_socket.is_some();
    let service = args.owner.service(&paths).filter(|_| !is_service);
    let up = Up {
        args,
        paths,
        progress,
        began,
        deadline,
        loaded: Some(loaded),
        asked_for,
        service,
        has_started_service: false,
        manager: inherited.manager,
    };
    let paths = up.paths.clone();
    block_on(up.run()).map_err(|failure| failure.at(&paths))
}

/// One `falco up`, until it knows how that ends.
struct Up {
    args: Args,
    paths: Paths,
    progress: Progress,
    began: Instant,
    deadline: Deadline,
    /// Of interest only to who starts something, once.
    loaded: Option<Result<Loaded, Failure>>,
    /// What a chain that is up has to be.
    asked_for: AskedFor,
    /// Whose the chain is to be, if it is not ours.
    service: Option<Place>,
    has_started_service: bool,
    /// Who started us as its service.
    manager: Started,
}

impl Up {
    /// Whoever has the lock brings the chain up; everybody else waits for that.
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            match self.ask_for_lock()? {
                Asked::Ours(lock) if self.args.foreground => return self.stay(lock).await,
                Asked::Ours(lock) => match &self.service {
                    None => return self.launch(lock).await,
                    Some(service) => {
                        // It is the service's to take.
                        drop(lock);
                        self.start(service).await?;
                        self.has_started_service = true;
                        continue;
                    }
                },
                Asked::Absent => {}
                // Whoever only looks holds it for a moment too.
                Asked::Held(_) if self.args.foreground && self.began.elapsed() < LOOKING => {}
                Asked::Held(who) if self.args.foreground => {
                    return Err(already_runs(&self.paths, who.as_ref()));
                }
                Asked::Held(who) => {
                    let waited = attach(&self.paths, &self.progress, self.deadline, who);
                    if let Some(summary) = waited.await? {
                        return self.attached(&summary).await;
                    }
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Who takes the lock says so, and looks at the configuration, once.
    fn ask_for_lock(&mut self) -> Result<Asked, Failure> {
        let lock = Lock::ask(&self.paths.lock_file());
        let mut asked = lock.map_err(|e| holder::lock_failure(&e))?;
        if let Asked::Ours(lock) = &mut asked {
            // At once: whoever wants to end us has to know us. A full disk
            // is met again where it matters.
            _ = lock.record(&daemon::holder(Phase::Launching));
            if let Some(loaded) = self.loaded.take() {
                check(loaded, &self.progress)?;
            }
        }
        Ok(asked)
    }

    /// Runs the supervisor in this process.
    async fn stay(self, lock: Lock) -> Result<(), Failure> {
        let supervisor = Supervisor {
            handles: Handles::new(&self.paths),
            paths: self.paths,
            lock,
            setup: self.args.setup,
            began: self.began,
            manager: self.manager,
        };
        stay(supervisor, &self.progress).await
    }

    /// Detaches a supervisor that brings the chain up.
    async fn launch(&self, lock: Lock) -> Result<(), Failure> {
        let launch = Launch {
            paths: &self.paths,
            setup: &self.args.setup,
            progress: &self.progress,
        };
        let summary = launch.run(lock, self.deadline).await?;
        self.report().launched(&summary)?;
        warn(&self.paths, &self.progress).await;
        complete(&self.paths, &summary)
    }

    /// Has the service's manager start it: the chain has one owner.
    async fn start(&self, service: &Place) -> Result<(), Failure> {
        let name = service.name();
        self.progress.say(&format!(
            "falco {}  starting {name}",
            env!("CARGO_PKG_VERSION")
        ));
        if !self.args.setup.to_args().is_empty() {
            self.progress.warn(&format!(
                "{name} has the flags it was installed with; {}{} with all it is to have changes them",
                service.verb_of_install(),
                service.flag_of_base(&self.paths)
            ));
        }
        let left = self.deadline.at.saturating_duration_since(Instant::now());
        service.start(left).await
    }

    /// The chain of somebody else is up: of our service, or one that ran already.
    async fn attached(&self, summary: &Summary) -> Result<(), Failure> {
        let service = self.service.as_ref();
        match service.filter(|_| self.has_started_service) {
            Some(service) => self.report().started(service, summary)?,
            None => self.report().running(summary)?,
        }
        warn(&self.paths, &self.progress).await;
        let change = Change {
            service,
            paths: &self.paths,
        };
        self.asked_for.check_against(summary, change)?;
        for note in self.asked_for.notes(summary, change) {
            self.progress.warn(&note);
        }
        complete(&self.paths, summary)
    }

    fn report(&self) -> Report<'_> {
        Report {
            paths: &self.paths,
            progress: &self.progress,
            json: self.args.json,
        }
    }
}

/// Until when the chain has to be ready.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// What a part has that is at work and says so, unless somebody who waits
    /// has said how long.
    again: Option<Duration>,
}

impl Deadline {
    fn new(began: Instant, args: &Args, loaded: Option<&Loaded>) -> Self {
        let patience = patience(args, loaded);
        Self {
            at: began + patience,
            again: args.timeout.is_none().then_some(patience),
        }
    }

    fn handle(&mut self, event: &Event) {
        if let (Event::PartBusy { .. }, Some(again)) = (event, self.again) {
            self.at = self.at.max(Instant::now() + again);
        }
    }
}

/// How long to wait for the chain; a file that is wrong has no say.
fn patience(args: &Args, loaded: Option<&Loaded>) -> Duration {
    match (args.timeout, loaded) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(loaded)) => loaded.config.up_timeout,
        (None, None) => UP_TIMEOUT,
    }
}

/// Nothing is started with a configuration that is wrong.
fn check(loaded: Result<Loaded, Failure>, progress: &Progress) -> Result<(), Failure> {
    let loaded = loaded?;
    for warning in &loaded.warnings {
        progress.warn(&warning.to_string());
    }
    loaded.right().map(drop)
}

fn already_runs(paths: &Paths, who: Option<&Holder>) -> Failure {
    let pid = who.map_or(String::new(), |h| format!(" as pid {}", h.identity.pid));
    let (stop, up) = (
        typed::falco(paths, "stop"),
        typed::falco(paths, "up --foreground"),
    );
    Failure::new(Exit::Failed, format!("falco is already running{pid}"))
        .hint(format!("{stop}, then {up}"))
}
