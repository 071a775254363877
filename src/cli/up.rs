//! `falco up`: bring the chain up and return when every part answers.
//!
//! The launcher takes the instance lock and hands it to the detached
//! supervisor, so there is no moment between the check and the start. If the
//! lock is taken, it attaches: to a start in progress, or to a chain that runs.

mod attach;
mod launch;
mod warnings;

use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::chain::Handles;
use super::config::{self, Loaded, UP_TIMEOUT};
use super::daemon::{self, Setup, Supervisor};
use super::exit::{Exit, Failure};
use super::holder;
use super::output;
use super::progress::{self, Progress, seconds};
use super::runtime::block_on;
use super::service::{Manager, Owner, Place};
use super::settings::{Instance, private_directory};
use crate::clock;
use crate::process::inherited::Inherited;
use crate::protocol::control::{Event, Missing, Summary};
use crate::supervisor::Until;
use crate::supervisor::instance::{Asked, Holder, Lock, Phase};
use attach::attach;
use launch::Launch;
use warnings::{Told, warn};

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
    #[arg(long, value_name = "SECONDS")]
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
    let paths = args.instance.create()?;
    private_directory(&paths.logs())?;
    let mut progress = Progress::new(args.quiet);
    if args.foreground {
        progress = progress.with_way_out("press Ctrl-C again to kill now");
    }
    let loaded = config::load(&paths, &args.setup.given());
    let deadline = Deadline::new(began, &args, loaded.as_ref().ok());
    // Of interest only to who starts something.
    let mut loaded = Some(loaded);
    // A unit that runs `falco up` is the service itself.
    let is_service = inherited.manager.notify_socket.is_some();
    let service = args.owner.service(&paths).filter(|_| !is_service);
    block_on(async {
        let mut started = None;
        loop {
            let mut asked = Lock::ask(&paths.lock_file()).map_err(|e| holder::lock_failure(&e))?;
            if let Asked::Ours(lock) = &mut asked {
                // At once: whoever wants to end us has to know us. A full disk
                // is met again where it matters.
                _ = lock.record(&daemon::holder(Phase::Launching));
            }
            if let (Asked::Ours(_), Some(loaded)) = (&asked, loaded.take()) {
                check(loaded, &progress)?;
            }
            match asked {
                Asked::Ours(lock) if args.foreground => {
                    let supervisor = Supervisor {
                        handles: Handles::new(&paths),
                        paths,
                        lock,
                        setup: args.setup,
                        began,
                        manager: inherited.manager,
                    };
                    return stay(supervisor, &progress).await;
                }
                Asked::Ours(lock) => {
                    if let Some(service) = &service {
                        // It is the service's to take.
                        drop(lock);
                        start_service(service, &args, &progress, deadline.at).await?;
                        started = Some(service);
                        continue;
                    }
                    let launch = Launch {
                        paths: &paths,
                        setup: &args.setup,
                        progress: &progress,
                    };
                    let summary = launch.run(lock, deadline).await?;
                    report(&args, &progress, &summary)?;
                    warn(&paths, &progress).await;
                    return complete(&summary);
                }
                Asked::Absent => {}
                // Whoever only looks holds it for a moment too.
                Asked::Held(_) if args.foreground && began.elapsed() < LOOKING => {}
                Asked::Held(who) if args.foreground => return Err(already_runs(who.as_ref())),
                Asked::Held(who) => {
                    if let Some(summary) = attach(&paths, &progress, deadline, who).await? {
                        match started {
                            Some(service) => report_started(service, &args, &progress, &summary)?,
                            None => report_running(&args, &progress, &summary)?,
                        }
                        warn(&paths, &progress).await;
                        return complete(&summary);
                    }
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
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
        (Some(seconds), _) => Duration::from_secs(seconds.max(1)),
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

/// Has the service's manager start it: the chain has one owner.
async fn start_service(
    service: &Place,
    args: &Args,
    progress: &Progress,
    deadline: Instant,
) -> Result<(), Failure> {
    let name = service.name();
    progress.say(&format!(
        "falco {}  starting {name}",
        env!("CARGO_PKG_VERSION")
    ));
    if !args.setup.to_args().is_empty() {
        progress.warn(&format!(
            "{name} has the flags it was installed with; falco service install changes them"
        ));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    service.start(left).await
}

fn report_started(
    service: &Place,
    args: &Args,
    progress: &Progress,
    summary: &Summary,
) -> Result<(), Failure> {
    let (ready, name) = (seconds(summary.took_ms), service.name());
    let pid = summary.pid;
    progress.say(&format!("ready in {ready} · {name} as pid {pid}"));
    print_json(args, summary)
}

fn already_runs(who: Option<&Holder>) -> Failure {
    let pid = who.map_or(String::new(), |h| format!(" as pid {}", h.identity.pid));
    Failure::new(Exit::Failed, format!("falco is already running{pid}"))
        .hint("falco stop, then falco up --foreground")
}

fn report(args: &Args, progress: &Progress, summary: &Summary) -> Result<(), Failure> {
    let ready = seconds(summary.took_ms);
    let word = if summary.missing.is_empty() {
        "ready"
    } else {
        "up"
    };
    progress.say(&format!(
        "{word} in {ready} · detached as pid {}",
        summary.pid
    ));
    progress.say(&progress::how_to_try(summary));
    print_json(args, summary)
}

fn report_running(args: &Args, progress: &Progress, summary: &Summary) -> Result<(), Failure> {
    let Summary {
        pid,
        parts,
        parts_ready,
        ..
    } = summary;
    let up = clock::span(Duration::from_millis(summary.up_ms));
    progress.say(&format!(
        "falco is already running: pid {pid}, up {up}, {parts_ready}/{parts} ready"
    ));
    print_json(args, summary)
}

/// A chain that is up without some parts is up, and not as it should be.
fn complete(summary: &Summary) -> Result<(), Failure> {
    if summary.parts_ready == summary.parts {
        return Ok(());
    }
    let missing = summary.missing.iter();
    let missing: Vec<_> = missing.map(|m| format!("{} ({})", m.part, m.why)).collect();
    let error = match missing.join(", ") {
        // An older version does not say which.
        none if none.is_empty() => "falco is up, but not every part of it answers".to_owned(),
        names => format!("falco is up, but without {names}"),
    };
    Err(Failure::new(Exit::Failed, error)
        .hint("falco status says how they are; falco logs says why"))
}

fn print_json(args: &Args, summary: &Summary) -> Result<(), Failure> {
    if !args.json {
        return Ok(());
    }
    let text = serde_json::to_string(summary);
    output::line(&text.map_err(|e| Failure::of(Exit::Internal, &e))?)
}

/// Runs the supervisor in this process.
async fn stay(supervisor: Supervisor, progress: &Progress) -> Result<(), Failure> {
    let (events, mut news) = mpsc::channel(256);
    let (handles, is_up) = (supervisor.handles.clone(), Notify::new());
    let show = async {
        while let Some(event) = news.recv().await {
            progress.show(&event);
            if let Event::Ready(summary) = event {
                progress.say(&format!(
                    "ready in {} · pid {}",
                    seconds(summary.took_ms),
                    summary.pid
                ));
                for Missing { part, why } in &summary.missing {
                    progress.warn(&format!("without {part}: {why}"));
                }
                is_up.notify_one();
            }
        }
    };
    let warn = async {
        let mut told = Told::default();
        loop {
            is_up.notified().await;
            if let Some(outbox) = handles.outbox_once_read().await {
                told.tell(outbox, progress);
            }
        }
    };
    let chain = async { tokio::join!(supervisor.run((Until::End, events)), show) };
    tokio::select! {
        (result, ()) = chain => result,
        never = warn => never,
    }
}
