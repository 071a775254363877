//! The supervisor task: the one driver of the chain.
//!
//! Waits for reports of the parts' lives, for requests on the control socket,
//! for signals and for the time the chain wants to be woken; hands each to the
//! chain and carries out what it asks for. Nothing here waits for a part, a
//! disk or a client.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::chain::{Action, Chain, Change, Ending, Outlook, PartId, State};
use super::incarnation::{self, Birth, News, ORDERS_MAX, Order, Report, Reporter};
use super::inside::{self, Server};
use super::instance::Holder;
use super::part::{Facts, PartSpec, Run};
use super::probe::EmulatorFact;
use super::view::{self, ms};
use super::watchers::{Until, Watchers};
use crate::control::server::{self, Command};
use crate::net::ask::ask;
use crate::net::notify::notify;
use crate::net::unix::Socket;
use crate::process::capture::Logs;
use crate::process::spawn::Spawner;
use crate::process::usage::Usage;
use crate::protocol::control::{
    EmulatorPlace, Event, IngestStatus, PartKind, Request, STATUS_SCHEMA, SocketStatus,
    StartFailure, Status, Summary,
};
use crate::protocol::ipc::TransportStatus;
use crate::shutdown::Shutdown;

/// Reports that may wait for the supervisor; each life sends three.
const REPORTS_MAX: usize = 64;

/// Requests that may wait for the supervisor.
const COMMANDS_MAX: usize = 32;

/// How long a part may take to say how it is, when somebody asks.
const STATUS_PATIENCE: Duration = Duration::from_millis(300);

/// How long the last answers may take to leave.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(500);

/// The exit code when a part never became ready.
const EXIT_UNAVAILABLE: u8 = 69;

/// Asks Falco how it is.
pub type AskIngest = Arc<dyn Fn() -> BoxFuture<'static, Option<IngestStatus>> + Send + Sync>;

/// Everything a supervisor is made of.
pub struct Config {
    /// The parts, in starting order.
    pub parts: Vec<PartSpec>,
    /// The control socket.
    pub control: Arc<Socket>,
    /// The sockets of the parts inside this process.
    pub sockets: Vec<Arc<Socket>>,
    /// Who we are.
    pub holder: Holder,
    /// The base directory.
    pub base_dir: PathBuf,
    /// The device and the user.
    pub device_id: String,
    /// The user.
    pub user_id: String,
    /// The file of the emulator's key, if the chain has an emulator.
    pub emulator_key_file: Option<PathBuf>,
    /// The transport's socket.
    pub ably_socket: PathBuf,
    /// Falco's socket.
    pub falco_socket: PathBuf,
    /// Where the output of the parts goes.
    pub logs: Logs,
    /// Spawns the children.
    pub spawner: Spawner,
    /// Who hears how it goes, from the first event on.
    pub watchers: Vec<(Until, mpsc::Sender<Event>)>,
    /// Asks Falco how it is.
    pub ask_ingest: AskIngest,
    /// Where the service manager listens, `NOTIFY_SOCKET`.
    pub notify_socket: Option<String>,
    /// When we were started.
    pub began: Instant,
}

/// How a supervisor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop, and everything is gone.
    Stopped,
    /// The chain never became ready, and everything is gone.
    StartFailed(StartFailure),
}

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
    shutdown: Shutdown,
    /// From our start to the first time the whole chain was ready.
    took: Option<Duration>,
    stopping_since: Option<Instant>,
    failure: Option<StartFailure>,
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
        shutdown,
        took: None,
        stopping_since: None,
        failure: None,
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
        loop {
            self.carry_out();
            if self.chain.outlook() == Outlook::Stopped {
                break;
            }
            let due = self.chain.poll_timeout();
            let wake = tokio::select! {
                Some(report) = inbox.recv() => Wake::Report(report),
                Some(command) = requests.recv() => Wake::Command(command),
                _ = signals.terminate.recv() => Wake::Stop("SIGTERM"),
                _ = signals.interrupt.recv() => Wake::Stop("SIGINT"),
                _ = signals.hangup.recv() => Wake::Hangup,
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
            Wake::Stop(signal) if self.stopping_since.is_some() => {
                tracing::warn!(signal, "Asked to stop again; killing what is left.");
                self.chain.kill(now);
            }
            Wake::Stop(signal) => {
                tracing::info!(signal, "Asked to stop.");
                self.stop(false, now);
            }
            Wake::Hangup => tracing::info!("A terminal was closed; going on."),
            Wake::Timeout => self.chain.handle_timeout(now),
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
                self.chain
                    .handle_end(part, incarnation, ending, now, rand::random());
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

    fn handle_command(&mut self, command: Command, now: Instant) {
        let Command {
            request,
            events,
            peer,
        } = command;
        match request {
            Request::Status => self.answer_status(events, now),
            Request::Attach => match self.chain.outlook() {
                Outlook::Starting => self.watchers.add(Until::Ready, events),
                Outlook::Ready | Outlook::Degraded => {
                    _ = events.try_send(Event::Ready(self.summary(now)));
                }
                Outlook::Stopping | Outlook::Stopped => {
                    refuse(&events, "the chain is being stopped");
                }
            },
            Request::Stop { now: at_once } => {
                tracing::info!(?peer, at_once, "Asked to stop.");
                self.watchers.add(Until::Stopped, events);
                self.stop(at_once, now);
            }
            Request::Restart { parts } => {
                tracing::info!(?peer, ?parts, "Asked to restart.");
                match self.select(&parts) {
                    Ok(ids) => {
                        self.watchers.add(Until::Ready, events);
                        for id in ids {
                            self.chain.restart(id, now);
                        }
                    }
                    Err(error) => refuse(&events, &error),
                }
            }
        }
    }

    fn select(&self, names: &[String]) -> Result<Vec<PartId>, String> {
        if matches!(self.chain.outlook(), Outlook::Stopping | Outlook::Stopped) {
            return Err("the chain is being stopped".to_owned());
        }
        let known = || self.chain.parts().iter().map(|p| p.plan.name);
        if names.is_empty() {
            return Ok((0..self.lives.len()).collect());
        }
        let find = |name: &String| {
            let all = known().collect::<Vec<_>>().join(", ");
            let error = || format!("there is no part {name:?}; there are {all}");
            known().position(|n| n == name).ok_or_else(error)
        };
        names.iter().map(find).collect()
    }

    fn stop(&mut self, at_once: bool, now: Instant) {
        self.stopping_since.get_or_insert(now);
        self.tell_service_manager("STOPPING=1");
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
                    log: self.config.logs.of(spec.plan.name),
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

    /// Where a part listens: what it said of itself, else what is planned.
    fn place(&self, part: PartId) -> String {
        let fact = self.facts.of(self.name(part)).unwrap_or_default();
        match EmulatorFact::parse(fact) {
            Ok(EmulatorFact { address }) => format!("http://{address}"),
            Err(_) => self.config.parts[part].place.clone(),
        }
    }

    fn announce(&mut self, change: Change) {
        let event = match change {
            Change::Ready { part, after } => {
                let pid = self.lives[part].as_ref().and_then(|l| l.pid);
                tracing::info!(
                    part = self.name(part),
                    pid,
                    after_ms = ms(after),
                    "Part is ready."
                );
                Event::PartReady {
                    part: self.name(part).to_owned(),
                    pid,
                    after_ms: ms(after),
                    place: self.place(part),
                }
            }
            Change::Ended {
                part,
                ending,
                retry_in,
            } => {
                let delay_ms = retry_in.map(ms);
                tracing::warn!(part = self.name(part), %ending, delay_ms, "Part ended.");
                Event::PartEnded {
                    part: self.name(part).to_owned(),
                    ending: ending.to_string(),
                    retry_in_ms: delay_ms,
                }
            }
            Change::Stopped {
                part,
                after,
                killed,
            } => {
                tracing::info!(
                    part = self.name(part),
                    after_ms = ms(after),
                    killed,
                    "Part stopped."
                );
                Event::PartStopped {
                    part: self.name(part).to_owned(),
                    after_ms: ms(after),
                    killed,
                }
            }
            Change::Stuck { part } => {
                tracing::error!(part = self.name(part), "Part outlived SIGKILL.");
                let pids = self.lives[part].as_ref().and_then(|l| l.pid);
                Event::PartStuck {
                    part: self.name(part).to_owned(),
                    pids: pids.into_iter().collect(),
                }
            }
            Change::ChainReady => {
                tracing::info!("The whole chain is ready.");
                self.took.get_or_insert_with(|| self.config.began.elapsed());
                self.tell_service_manager("READY=1");
                Event::Ready(self.summary(Instant::now()))
            }
            Change::StartFailed { part } => {
                self.stopping_since.get_or_insert(Instant::now());
                self.failure = Some(self.failure(part));
                return;
            }
        };
        self.watchers.tell(&event);
    }

    fn failure(&self, id: PartId) -> StartFailure {
        let part = &self.chain.parts()[id];
        let name = part.plan.name;
        let how = part.last_end.as_ref().map(|e| e.ending.to_string());
        let error = format!(
            "{name} never became ready: {} (attempt {})",
            how.unwrap_or_default(),
            part.incarnation
        );
        let hint = format!("falco logs {name} says more; nothing was left running");
        StartFailure {
            exit: EXIT_UNAVAILABLE,
            error,
            hint: Some(hint),
            part: Some(name.to_owned()),
        }
    }

    fn summary(&self, now: Instant) -> Summary {
        let up = now.duration_since(self.config.began);
        let ready = |p: &&super::chain::Part| matches!(p.state, State::Ready { .. });
        Summary {
            pid: self.config.holder.identity.pid,
            instance: self.config.holder.instance.clone(),
            took_ms: ms(self.took.unwrap_or(up)),
            up_ms: ms(up),
            parts: self.lives.len(),
            parts_ready: self.chain.parts().iter().filter(ready).count(),
            falco_socket: self.config.falco_socket.display().to_string(),
            ably_socket: self.config.ably_socket.display().to_string(),
            device_id: self.config.device_id.clone(),
            user_id: self.config.user_id.clone(),
            emulator: self.emulator(),
        }
    }

    fn emulator(&self) -> Option<EmulatorPlace> {
        let key_file = self.config.emulator_key_file.as_ref()?;
        let fact = EmulatorFact::parse(self.facts.of("emulator")?).ok()?;
        Some(EmulatorPlace {
            address: fact.address,
            key_file: key_file.display().to_string(),
        })
    }

    /// Answers in a task of its own: Falco and the transport are asked too.
    fn answer_status(&self, events: mpsc::Sender<Event>, now: Instant) {
        let status = self.status(now);
        let ask_ingest = Arc::clone(&self.config.ask_ingest);
        let ably_socket = self.config.ably_socket.clone();
        self.shutdown.spawn(async move {
            let ingest = tokio::time::timeout(STATUS_PATIENCE, ask_ingest());
            let (ingest, transport) = tokio::join!(ingest, ask_transport(&ably_socket));
            let status = Status {
                ingest: ingest.ok().flatten(),
                transport,
                ..status
            };
            _ = events.send(Event::Status(Box::new(status))).await;
        });
    }

    fn status(&self, now: Instant) -> Status {
        let usage = Usage::of(self.config.holder.identity.pid);
        let socket = |s: &Arc<Socket>| SocketStatus {
            path: s.path().display().to_string(),
            in_place: s.is_in_place(),
        };
        let sockets = std::iter::once(&self.config.control).chain(&self.config.sockets);
        Status {
            schema: STATUS_SCHEMA,
            state: view::chain_state(&self.chain),
            instance: self.config.holder.instance.clone(),
            version: self.config.holder.version.clone(),
            pid: self.config.holder.identity.pid,
            boot_id: self.config.holder.identity.boot_id.clone(),
            since_ms: self.config.holder.since_ms,
            up_ms: ms(now.duration_since(self.config.began)),
            rss_bytes: usage.map(|u| u.rss_bytes),
            cpu_ms: usage.map(|u| ms(u.cpu)),
            base_dir: self.config.base_dir.display().to_string(),
            device_id: self.config.device_id.clone(),
            user_id: self.config.user_id.clone(),
            parts: (0..self.lives.len())
                .map(|id| self.part_status(id, now))
                .collect(),
            sockets: sockets.map(socket).collect(),
            ingest: None,
            transport: None,
            emulator: self.emulator(),
        }
    }

    fn part_status(&self, id: PartId, now: Instant) -> crate::protocol::control::PartStatus {
        let kind = match self.config.parts[id].run {
            Run::Process(_) => PartKind::Process,
            Run::Server(_) => PartKind::Server,
        };
        let pid = self.lives[id].as_ref().and_then(|l| l.pid);
        view::part_status(&self.chain.parts()[id], kind, pid, self.place(id), now)
    }

    fn tell_service_manager(&self, state: &str) {
        if let Some(name) = &self.config.notify_socket
            && let Err(error) = notify(name, state)
        {
            tracing::warn!(%error, state, "Failed to tell the service manager.");
        }
    }

    /// Everything is gone but the control socket: says so, and takes it away.
    async fn finish(mut self) -> Outcome {
        self.config.logs.flush().await;
        if let Some(failure) = &self.failure {
            self.watchers.tell(&Event::Failed(failure.clone()));
        }
        let after_ms = self.stopping_since.map_or(0, |since| ms(since.elapsed()));
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

fn refuse(events: &mpsc::Sender<Event>, error: &str) {
    let error = error.to_owned();
    _ = events.try_send(Event::Refused { error });
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[derive(serde::Deserialize)]
struct StatusAnswer {
    ok: bool,
    #[serde(flatten)]
    status: TransportStatus,
}

async fn ask_transport(socket: &std::path::Path) -> Option<TransportStatus> {
    let request = r#"{"op":"status.v1","request_id":"status"}"#;
    let answer = ask(socket, request, STATUS_PATIENCE).await.ok()?;
    let answer: StatusAnswer = serde_json::from_str(&answer).ok()?;
    answer.ok.then_some(answer.status)
}
