//! The supervisor task: the one driver of the chain.
//!
//! Waits for reports of the parts' lives, for requests on the control socket,
//! for signals and for the time the chain wants to be woken; hands each to the
//! chain and carries out what it asks for. Nothing here waits for a part, a
//! disk or a client.

mod config;
mod manager;
mod notes;
mod requests;
mod sockets;
mod telling;

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::chain::{Action, Chain, Ending, Outlook, PartId};
use super::incarnation::{self, Birth, News, ORDERS_MAX, Order, Report, Reporter};
use super::inside::{self, Server};
use super::part::{Facts, Run};
use super::view::ms;
use super::watchers::Watchers;
use crate::control::server::{self, Command};
use crate::process::capture::Journal;
use crate::process::family;
use crate::protocol::control::{Event, StartFailure};
use crate::protocol::life::Asker;
use crate::shutdown::Shutdown;
use manager::Listening;

pub use config::{AskIngest, Config, Manager, Outcome};
use notes::Noted;
use sockets::Lost;

/// Reports that may wait for the supervisor; each life sends three.
const REPORTS_MAX: usize = 64;

/// Requests that may wait for the supervisor.
const COMMANDS_MAX: usize = 32;

/// How long the last answers may take to leave.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(500);

/// How long descendants that got away from their part may take to vanish.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);

/// A life under way.
struct Life {
    incarnation: u32,
    orders: mpsc::Sender<Order>,
    pid: Option<u32>,
}

enum Wake {
    Report(Report),
    Command(Command),
    Stop(&'static str),
    Hangup,
    /// Names in the base directory have changed.
    Names,
    Timeout,
}

struct Supervisor {
    config: Config,
    chain: Chain,
    lives: Vec<Option<Life>>,
    facts: Facts,
    lifeline: io::PipeReader,
    /// Never written to; closed by our end, however it comes.
    _lifeline_end: io::PipeWriter,
    reports: mpsc::Sender<Report>,
    watchers: Watchers,
    /// Who started us as its service.
    manager: Option<Listening>,
    shutdown: Shutdown,
    /// From our start to the first time the whole chain was ready.
    took: Option<Duration>,
    stopping_since: Option<Instant>,
    /// Whether a signal asked to stop; the next one kills.
    signaled: bool,
    failure: Option<StartFailure>,
    journal: Journal,
    noted: Noted,
    lost: Lost,
}

/// Runs the chain until it is stopped.
///
/// # Errors
///
/// When the system refuses what is needed before the first part: a pipe, a
/// thread, a signal handler.
pub async fn run(mut config: Config) -> io::Result<Outcome> {
    let (reports, inbox) = mpsc::channel(REPORTS_MAX);
    let (commands, requests) = mpsc::channel(COMMANDS_MAX);
    let shutdown = Shutdown::new();
    let listener = config.control.listener().map_err(io::Error::other)?;
    server::start(listener, commands, &shutdown);
    let (lifeline, lifeline_end) = io::pipe()?;
    let plans = config.parts.iter().map(|p| p.plan.clone()).collect();
    let mut watchers = Watchers::default();
    for (until, watcher) in config.watchers.drain(..) {
        watchers.add(until, watcher);
    }
    let supervisor = Supervisor {
        chain: Chain::new(plans, Instant::now()),
        lives: config.parts.iter().map(|_| None).collect(),
        facts: Facts::default(),
        lifeline,
        _lifeline_end: lifeline_end,
        reports,
        watchers,
        manager: config.manager.take().map(Listening::from),
        shutdown,
        took: None,
        stopping_since: None,
        signaled: false,
        failure: None,
        journal: config.logs.journal(),
        noted: Noted::default(),
        lost: Lost::default(),
        config,
    };
    supervisor.run(inbox, requests, Signals::install()?).await
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Supervisor {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Report>,
        mut requests: mpsc::Receiver<Command>,
        mut signals: Signals,
    ) -> io::Result<Outcome> {
        let mut names = sockets::watch(self.config.base_dir.clone(), &self.shutdown);
        loop {
            self.carry_out();
            self.tell_manager();
            if self.chain.outlook() == Outlook::Stopped {
                break;
            }
            let due = self.due().into_iter().chain(self.rebind_due()).min();
            let wake = tokio::select! {
                Some(report) = inbox.recv() => Wake::Report(report),
                Some(command) = requests.recv() => Wake::Command(command),
                _ = signals.terminate.recv() => Wake::Stop("SIGTERM"),
                _ = signals.interrupt.recv() => Wake::Stop("SIGINT"),
                _ = signals.hangup.recv() => Wake::Hangup,
                Some(()) = names.recv() => Wake::Names,
                () = sleep_until(due) => Wake::Timeout,
            };
            self.handle(wake);
        }
        Ok(self.finish().await)
    }

    fn handle(&mut self, wake: Wake) {
        let now = Instant::now();
        match wake {
            Wake::Report(report) => self.handle_report(report, now),
            Wake::Command(command) => self.handle_command(command, now),
            Wake::Stop(signal) if self.signaled => {
                tracing::warn!(signal, "Asked to stop again; killing what is left.");
                self.note_asked("kill", Vec::new(), by_signal(signal));
                self.chain.kill(now);
            }
            Wake::Stop(signal) => {
                tracing::info!(signal, "Asked to stop.");
                self.signaled = true;
                self.note_asked("stop", Vec::new(), by_signal(signal));
                self.stop(false, now);
            }
            Wake::Hangup if self.config.foreground => {
                self.handle(Wake::Stop("SIGHUP"));
            }
            Wake::Hangup => tracing::info!("A terminal was closed; going on."),
            Wake::Names => self.look_at_sockets(now),
            Wake::Timeout => {
                self.chain.handle_timeout(now);
                self.rebind(now);
            }
        }
    }

    fn handle_report(&mut self, report: Report, now: Instant) {
        let Report {
            part,
            incarnation,
            news,
        } = report;
        match news {
            News::Started { pid } => {
                if let Some(life) = self.life(part, incarnation) {
                    life.pid = Some(pid);
                }
            }
            News::Ready { fact } => {
                let name = self.chain.parts()[part].plan.name;
                let changed = self.facts.note(name, &fact);
                self.chain.handle_ready(part, incarnation, now);
                if changed {
                    self.restart_those_after(part, now);
                }
            }
            News::Ended { ending, left } => {
                if self.life(part, incarnation).is_some() {
                    self.lives[part] = None;
                }
                if !left.is_empty() {
                    let name = self.name(part);
                    tracing::error!(part = name, ?left, "Processes of a part would not die.");
                    self.watchers.tell(&Event::PartStuck {
                        part: name.to_owned(),
                        pids: left,
                    });
                }
                let was = self.chain.parts()[part].state.clone();
                self.chain
                    .handle_end(part, incarnation, ending, now, rand::random());
                self.note_end(part, incarnation, &was);
            }
        }
    }

    /// A part said something new of itself (another port, another token):
    /// those that were started with the old word start again.
    fn restart_those_after(&mut self, part: PartId, now: Instant) {
        for other in 0..self.lives.len() {
            let plan = &self.chain.parts()[other].plan;
            if plan.after.contains(&part) && self.lives[other].is_some() {
                tracing::info!(
                    part = plan.name,
                    after = self.name(part),
                    "A part it depends on has changed; restarting."
                );
                self.chain.restart(other, now);
            }
        }
    }

    fn stop(&mut self, at_once: bool, now: Instant) {
        self.stopping_since.get_or_insert(now);
        if at_once {
            self.chain.kill(now);
        } else {
            self.chain.stop(now);
        }
    }

    fn carry_out(&mut self) {
        loop {
            while let Some(change) = self.chain.poll_change() {
                self.announce(change);
            }
            self.note_states();
            match self.chain.poll_action() {
                Some(Action::Start(part, incarnation)) => self.start(part, incarnation),
                Some(Action::Terminate(part, incarnation)) => {
                    self.order(part, incarnation, Order::Terminate);
                }
                Some(Action::Kill(part, incarnation)) => self.order(part, incarnation, Order::Kill),
                None => return,
            }
        }
    }

    fn start(&mut self, part: PartId, incarnation: u32) {
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        let reporter = Reporter {
            part,
            incarnation,
            reports: self.reports.clone(),
        };
        self.lives[part] = Some(Life {
            incarnation,
            orders,
            pid: None,
        });
        if let Err(error) = self.begin_life(part, given, reporter.clone()) {
            let ending = Ending::CannotStart {
                error,
                permanent: true,
            };
            self.shutdown.spawn(async move {
                reporter
                    .say(News::Ended {
                        ending,
                        left: Vec::new(),
                    })
                    .await;
            });
        }
    }

    fn begin_life(
        &self,
        part: PartId,
        orders: mpsc::Receiver<Order>,
        reporter: Reporter,
    ) -> Result<(), String> {
        let spec = &self.config.parts[part];
        match &spec.run {
            Run::Server(server) => {
                let server = Server {
                    name: spec.plan.name,
                    serve: server.serve.clone(),
                    own_thread: server.own_thread,
                    grace: spec.plan.stop_grace,
                    tasks: self.shutdown.clone(),
                };
                self.shutdown.spawn(inside::live(server, orders, reporter));
            }
            Run::Process(process) => {
                let launch = (process.launch)(&self.facts)?;
                let lifeline = process
                    .ours
                    .then(|| self.lifeline.try_clone().map(Into::into));
                let birth = Birth {
                    spawner: self.config.spawner.clone(),
                    log: self.config.logs.of(spec.plan.name, self.config.log_limits),
                    journal: self.journal.clone(),
                    lifeline: lifeline.transpose().map_err(|e| e.to_string())?,
                    probe: process.probe.clone(),
                };
                self.shutdown
                    .spawn(incarnation::live(launch, birth, orders, reporter));
            }
        }
        Ok(())
    }

    fn order(&mut self, part: PartId, incarnation: u32, order: Order) {
        if let Some(life) = self.life(part, incarnation) {
            // Room for both kinds; a life that is over needs no order.
            _ = life.orders.try_send(order);
        }
    }

    fn life(&mut self, part: PartId, incarnation: u32) -> Option<&mut Life> {
        self.lives[part]
            .as_mut()
            .filter(|l| l.incarnation == incarnation)
    }

    fn name(&self, part: PartId) -> &'static str {
        self.chain.parts()[part].plan.name
    }

    /// Ends whoever got away from the part it came from.
    async fn end_strangers(&mut self) {
        let left = family::end_strangers(STRANGERS_PATIENCE).await;
        if !left.is_empty() {
            tracing::error!(?left, "Processes below us would not die.");
            self.watchers.tell(&Event::PartStuck {
                part: "(no part)".to_owned(),
                pids: left,
            });
        }
    }

    /// Everything is gone but the control socket: says so, and takes it away.
    async fn finish(mut self) -> Outcome {
        let after_ms = self.stopping_since.map_or(0, |since| ms(since.elapsed()));
        self.note_stopped(after_ms);
        self.config.logs.flush().await;
        self.end_strangers().await;
        if let Some(failure) = &self.failure {
            self.watchers.tell(&Event::Failed(failure.clone()));
        }
        self.watchers.tell(&Event::Stopped { after_ms });
        tracing::info!(after_ms, "Everything is stopped.");
        drop(self.watchers);
        self.config.sockets.clear();
        self.config.parts.clear();
        self.shutdown.drain(FAREWELL_PATIENCE).await;
        match self.failure {
            Some(failure) => Outcome::StartFailed(failure),
            None => Outcome::Stopped,
        }
    }
}

fn by_signal(signal: &str) -> Asker {
    Asker {
        signal: Some(signal.to_owned()),
        ..Asker::default()
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
