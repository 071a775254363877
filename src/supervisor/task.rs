//! The supervisor task: the one driver of the chain.
//!
//! Waits for reports of the parts' lives, for requests on the control socket,
//! for signals and for the time the chain wants to be woken; hands each to the
//! chain and carries out what it asks for. Nothing here waits for a part, a
//! disk or a client.

mod commands;
mod config;
mod lives;
mod made_socket;
mod manager;
mod metrics;
mod notes;
mod reload;
mod requests;
mod sockets;
mod telling;
mod waiting;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::chain::{Chain, Outlook, PartId};
use super::incarnation::{News, Report};
use super::instance::Phase;
use super::part::{Facts, Run};
use super::sleep::Sleep;
use super::view::ms;
use super::watchers::Watchers;
use crate::clock;
use crate::control::server::{self, Command};
use crate::process::capture::Journal;
use crate::process::family;
use crate::protocol::control::{Event, Login, StartFailure};
use crate::protocol::life::Asker;
use crate::shutdown::Shutdown;
use lives::Member;
use made_socket::Made;
use manager::Listening;
use metrics::Serving;
use reload::{Composed, Reading};

pub use config::{
    AskIngest, AskLanes, AskLeft, AskOutbox, Composition, Config, Manager, Outcome, Recompose,
};
use notes::Noted;
use sockets::Lost;

/// Reports that may wait for the supervisor; each life sends three.
const REPORTS_MAX: usize = 64;

/// Requests that may wait for the supervisor.
const COMMANDS_MAX: usize = 32;

/// How long the last answers may take to leave.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(500);

/// What is left to do once every part is gone takes no longer: logs are written
/// out, strangers ended, last words said.
const FINISH_PATIENCE: Duration = Duration::from_secs(3);

/// How long descendants that got away from their part may take to vanish.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);

enum Wake {
    Report(Report),
    Command(Command),
    Composed(Composed),
    Stop(&'static str),
    Hangup,
    /// Names in the base directory have changed.
    Names,
    Timeout,
}

struct Supervisor {
    config: Config,
    chain: Chain,
    members: BTreeMap<PartId, Member>,
    facts: Facts,
    /// The file of the emulator's key, if the chain has an emulator.
    emulator_key_file: Option<PathBuf>,
    /// Whether somebody is logged in.
    login: Login,
    /// Whoever serves metrics asks here.
    commands: mpsc::Sender<Command>,
    metrics: Serving,
    reading: Reading,
    sleep: Sleep,
    composed: mpsc::Sender<Composed>,
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
    /// When was told last who is waited for.
    told_waiting: Option<Instant>,
    /// Whether a signal asked to stop; the next one kills.
    signaled: bool,
    failure: Option<StartFailure>,
    journal: Journal,
    noted: Noted,
    lost: Lost,
    made: Option<Made>,
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
    server::start(listener, commands.clone(), &shutdown);
    config.enter(Phase::Up);
    let mut metrics = Serving::Off;
    metrics.change(config.composition.metrics, &commands, &shutdown);
    let (lifeline, lifeline_end) = io::pipe()?;
    let (composed, compositions) = mpsc::channel(1);
    let specs = std::mem::take(&mut config.composition.parts);
    let plans = specs.iter().map(|spec| spec.plan.clone()).collect();
    let mut watchers = Watchers::default();
    for (until, watcher) in config.watchers.drain(..) {
        watchers.add(until, watcher);
    }
    let supervisor = Supervisor {
        chain: Chain::new(plans, Instant::now()),
        members: lives::members(specs),
        facts: Facts::default(),
        emulator_key_file: config.composition.emulator_key_file.take(),
        login: std::mem::take(&mut config.composition.login),
        commands,
        metrics,
        reading: Reading::default(),
        sleep: Sleep::new(clock::slept()),
        composed,
        lifeline,
        _lifeline_end: lifeline_end,
        reports,
        watchers,
        manager: config.manager.take().map(Listening::from),
        shutdown,
        took: None,
        stopping_since: None,
        told_waiting: None,
        signaled: false,
        failure: None,
        journal: config.logs.journal(),
        noted: Noted::default(),
        lost: Lost::default(),
        made: None,
        config,
    };
    let inbox = Inbox {
        reports: inbox,
        requests,
        compositions,
        signals: Signals::install()?,
    };
    supervisor.run(inbox).await
}

/// Everything that the supervisor waits for, but for its own timers.
struct Inbox {
    reports: mpsc::Receiver<Report>,
    requests: mpsc::Receiver<Command>,
    compositions: mpsc::Receiver<Composed>,
    signals: Signals,
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
    async fn run(mut self, mut inbox: Inbox) -> io::Result<Outcome> {
        let mut names = sockets::watch(self.config.base_dir.clone(), &self.shutdown);
        loop {
            self.carry_out();
            self.tell_manager();
            if self.chain.outlook() == Outlook::Stopped {
                break;
            }
            if self.is_going() {
                // Nothing is mended any more, and to end the watch takes a while.
                names.close();
            }
            let due = self.due();
            let wake = tokio::select! {
                Some(report) = inbox.reports.recv() => Wake::Report(report),
                Some(command) = inbox.requests.recv() => Wake::Command(command),
                Some(composed) = inbox.compositions.recv() => Wake::Composed(composed),
                _ = inbox.signals.terminate.recv() => Wake::Stop("SIGTERM"),
                _ = inbox.signals.interrupt.recv() => Wake::Stop("SIGINT"),
                _ = inbox.signals.hangup.recv() => Wake::Hangup,
                Some(()) = names.recv() => Wake::Names,
                () = sleep_until(due) => Wake::Timeout,
            };
            self.notice_sleep(due);
            self.handle(wake);
        }
        Ok(self.finish().await)
    }

    /// When the loop has to turn next.
    fn due(&self) -> Option<Instant> {
        let all = [
            self.chain.poll_timeout(),
            self.manager_due(),
            self.rebind_due(),
            self.waiting_due(),
        ];
        all.into_iter().flatten().min()
    }

    /// What we slept through says nothing about the parts.
    fn notice_sleep(&mut self, due: Option<Instant>) {
        let now = Instant::now();
        if self.sleep.is_over(clock::slept(), due, now) {
            tracing::info!("Time passed in which nothing ran; no part is blamed for it.");
            self.chain.handle_resume(now);
        }
    }

    fn handle(&mut self, wake: Wake) {
        let now = Instant::now();
        match wake {
            Wake::Report(report) => self.handle_report(report, now),
            Wake::Command(command) => self.handle_command(command, now),
            Wake::Composed(composed) => self.handle_composed(composed, now),
            // Ctrl-C at a terminal where somebody else's stop is waited for, too.
            Wake::Stop(signal) if self.signaled || (signal == "SIGINT" && self.is_going()) => {
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
            Wake::Hangup => {
                tracing::info!("Asked to reload by SIGHUP.");
                self.note_asked("reload", Vec::new(), by_signal("SIGHUP"));
                self.begin_reload(None);
            }
            Wake::Names => self.look_at_sockets(now),
            Wake::Timeout => {
                self.chain.handle_timeout(now);
                self.tell_waiting(now);
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
            News::Busy { what } => {
                self.chain.handle_busy(part, incarnation, now);
                let part = self.name(part).to_owned();
                self.watchers.tell(&Event::PartBusy { part, what });
            }
            News::Ready { fact } => {
                let Some(name) = self.members.get(&part).map(|m| &m.spec.plan.name) else {
                    return;
                };
                let changed = self.facts.note(name, &fact);
                self.chain.handle_ready(part, incarnation, now);
                self.note_made_socket(part, incarnation, now);
                if changed {
                    self.restart_those_after(part, now);
                }
            }
            News::Pulse { answer } => self.chain.handle_pulse(part, incarnation, answer, now),
            News::Extends { by } => self.chain.handle_extension(part, incarnation, by, now),
            News::Distress => self.chain.handle_distress(part, incarnation, now),
            News::Ended { ending, left } => {
                if self.life(part, incarnation).is_some()
                    && let Some(member) = self.members.get_mut(&part)
                {
                    member.life = None;
                }
                if !left.is_empty() {
                    let name = self.name(part).to_owned();
                    tracing::error!(part = name, ?left, "Processes of a part would not die.");
                    self.watchers.tell(&Event::PartStuck {
                        part: name,
                        pids: left,
                    });
                }
                let was = self.chain.part(part).map(|part| part.state.clone());
                self.chain
                    .handle_end(part, incarnation, ending, now, rand::random());
                if let Some(was) = was {
                    self.note_end(part, incarnation, &was);
                }
            }
        }
    }

    /// A part said something new of itself (another port, another token):
    /// those that were started with the old word start again.
    fn restart_those_after(&mut self, part: PartId, now: Instant) {
        let followers: Vec<PartId> = self.chain.followers(part).collect();
        for other in followers {
            let has_life = self.members.get(&other).is_some_and(|m| m.life.is_some());
            if has_life && self.heeds_facts(other) {
                tracing::info!(
                    part = self.name(other),
                    after = self.name(part),
                    "A part it depends on has changed; restarting."
                );
                // One that is being stopped is started with the new word.
                _ = self.chain.restart(other, now);
            }
        }
    }

    fn heeds_facts(&self, part: PartId) -> bool {
        let run = self.members.get(&part).map(|member| &member.spec.run);
        matches!(run, Some(Run::Process(process)) if process.heeds_facts)
    }

    fn stop(&mut self, at_once: bool, now: Instant) {
        self.stopping_since.get_or_insert(now);
        if at_once {
            self.chain.kill(now);
        } else {
            self.chain.stop(now);
        }
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
        // Told before nobody can be asked any more.
        self.config.enter(Phase::Stopping);
        let left = (self.config.ask_left)();
        if let Some(left) = &left {
            tracing::error!(left, "The chain has stopped, and something is left undone.");
        }
        self.watchers.tell(&Event::Stopped { after_ms, left });
        tracing::info!(after_ms, "Everything is stopped.");
        drop(self.watchers);
        self.config.sockets.clear();
        self.members.clear();
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
