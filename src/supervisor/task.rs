//! The supervisor task: the one driver of the chain.
//!
//! Waits for reports of the parts' lives, for requests on the control socket,
//! for signals and for the time the chain wants to be woken; hands each to the
//! chain and carries out what it asks for. Nothing here waits for a part, a
//! disk or a client.

mod commands;
mod config;
mod ending;
mod lives;
mod made_socket;
mod manager;
mod metrics;
mod notes;
mod reload;
mod reports;
mod requests;
mod sockets;
mod telling;
mod waiting;
mod wake;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::chain::{Chain, Outlook, PartId};
use super::incarnation::Report;
use super::instance::Phase;
use super::part::Facts;
use super::sleep::Sleep;
use super::watchers::Watchers;
use crate::clock;
use crate::control::server::{self, Command};
use crate::process::capture::Journal;
use crate::protocol::control::{Login, StartFailure};
use crate::protocol::life::Asker;
use crate::shutdown::Shutdown;
use lives::Member;
use made_socket::Made;
use manager::Listening;
use metrics::Serving;
use reload::{Composed, Reading};

pub use config::{
    AskHung, AskIngest, AskLanes, AskLeft, AskOutbox, Composition, Config, Manager, Outcome,
    Recompose,
};
use notes::Noted;
use sockets::Lost;
use wake::{Inbox, Signals, Wake};

/// Reports that may wait for the supervisor; each life sends three.
const REPORTS_MAX: usize = 64;

/// Requests that may wait for the supervisor.
const COMMANDS_MAX: usize = 32;

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
    let names = sockets::watch(config.base_dir.clone(), &shutdown);
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
        names,
        signals: Signals::install()?,
    };
    supervisor.run(inbox).await
}

impl Supervisor {
    async fn run(mut self, mut inbox: Inbox) -> io::Result<Outcome> {
        loop {
            self.carry_out();
            self.tell_manager();
            if self.chain.outlook() == Outlook::Stopped {
                break;
            }
            if self.is_going() {
                // Nothing is mended any more, and to end the watch takes a while.
                inbox.names.close();
            }
            let due = self.due();
            let wake = inbox.wait(due).await;
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
            self.metrics.due(),
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
                self.metrics.try_again(&self.commands, &self.shutdown, now);
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
}

fn by_signal(signal: &str) -> Asker {
    Asker {
        signal: Some(signal.to_owned()),
        ..Asker::default()
    }
}
