//! The launcher: takes the lock, detaches the supervisor, and waits until the
//! chain is ready.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout_at;

use super::Deadline;
use crate::cli::chain::own_program;
use crate::cli::daemon::{self, Setup};
use crate::cli::exit::{Exit, Failure};
use crate::cli::logs;
use crate::cli::progress::{self, Progress};
use crate::cli::typed;
use crate::clock;
use crate::control::client::Exchange;
use crate::paths::Paths;
use crate::plain_file;
use crate::process::inherited::{LOCK_FD, STARTUP_FD};
use crate::process::spawn::{Detached, Spec, detach};
use crate::process::startup::{self, Launching};
use crate::protocol::control::{Event, Request, Summary};
use crate::protocol::life::Verb;
use crate::report::Report;
use crate::shortage::Shortage;
use crate::supervisor::instance::{Holder, Lock, Phase};

/// How long a supervisor may take to end once it has failed or was told to.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How long a supervisor that is told to stop at once may be silent: it kills
/// all its parts and tells of each.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// A start that is ours to make.
pub(super) struct Launch<'a> {
    pub(super) paths: &'a Paths,
    pub(super) setup: &'a Setup,
    pub(super) progress: &'a Progress,
}

impl Launch<'_> {
    /// Starts the detached supervisor and waits until the chain is ready.
    pub(super) async fn run(
        &self,
        mut lock: Lock,
        mut deadline: Deadline,
    ) -> Result<Summary, Failure> {
        let place = progress::tilde(self.paths.base());
        self.progress
            .say(&format!("falco {}  {place}", env!("CARGO_PKG_VERSION")));
        let boot_log = self.paths.logs().join("falco.boot.log");
        let since = clock::utc(clock::now_ms());
        let us = daemon::holder(Phase::Launching);
        lock.record(&us)
            .map_err(|e| cannot("write falco.lock", &e))?;
        let (mut daemon, launching) = self.detach(&lock, &boot_log)?;
        let news = hand_over(lock, us, &daemon, launching)?;
        let mut lines = BufReader::new(news).lines();
        let mut interrupts = Interrupts::new().map_err(|e| cannot("wait", &e))?;
        loop {
            let line = tokio::select! {
                line = timeout_at(deadline.at.into(), lines.next_line()) => line,
                verb = interrupts.any() => {
                    let error = (Exit::Interrupted, "interrupted");
                    return Err(self.abort(&mut daemon, verb, error).await);
                }
            };
            let Ok(line) = line else {
                let error = (Exit::TimedOut, "the chain was not ready in time");
                return Err(self.abort(&mut daemon, Verb::UpTimedOut, error).await);
            };
            let event = line
                .ok()
                .flatten()
                .and_then(|l| serde_json::from_str(&l).ok());
            match event {
                Some(Event::Ready(summary)) => {
                    for missing in &summary.missing {
                        let part = &missing.part;
                        logs::show_last(self.paths, part, &since, self.progress);
                    }
                    return Ok(summary);
                }
                Some(Event::Failed(failure)) => {
                    daemon.ended(END_PATIENCE).await;
                    if let Some(part) = &failure.part {
                        logs::show_last(self.paths, part, &since, self.progress);
                    }
                    return Err(Failure::from_start(failure));
                }
                Some(Event::Stopped { .. }) => {
                    daemon.ended(END_PATIENCE).await;
                    return Err(stopped_meanwhile(self.paths));
                }
                Some(event) => {
                    deadline.handle(&event);
                    self.progress.show(&event);
                }
                None => {
                    daemon.ended(END_PATIENCE).await;
                    return Err(died(self.paths, &boot_log, daemon.killed_by()));
                }
            }
        }
    }

    /// Starts the supervisor, which waits until it is let go.
    fn detach(&self, lock: &Lock, boot_log: &Path) -> Result<(Detached, Launching), Failure> {
        let (ours, theirs) = startup::pair().map_err(|e| cannot("make a socket", &e))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let stderr = plain_file::open_own(boot_log, &mut options)
            .map_err(|e| cannot(&format!("open {}", boot_log.display()), &e))?;
        let mut args = vec![
            "__daemon".into(),
            "--base-dir".into(),
            self.paths.base().into(),
        ];
        args.extend(self.setup.to_args().into_iter().map(Into::into));
        let locked = lock.share().map_err(|e| cannot("share the lock", &e))?;
        let spec = Spec {
            program: own_program()?,
            arg0: None,
            args,
            env: std::env::vars_os().collect(),
            directory: "/".into(),
            descriptors: vec![(LOCK_FD, locked), (STARTUP_FD, theirs)],
            lease: None,
        };
        let daemon = detach(&spec, stderr.into()).map_err(|e| {
            // To run a program takes a process.
            Failure::new(Exit::Internal, Report(&e)).short_of(Shortage::behind(&e))
        })?;
        Ok((daemon, ours))
    }

    /// Has the supervisor stop what it started.
    async fn abort(
        &self,
        daemon: &mut Detached,
        verb: Verb,
        (exit, error): (Exit, &str),
    ) -> Failure {
        let stop = Request::Stop {
            now: true,
            parts: Vec::new(),
            verb: Some(verb),
        };
        let mut answers = false;
        if let Ok(mut exchange) = Exchange::begin(&self.paths.control_socket(), &stop).await {
            while exchange.next(ANSWER_PATIENCE).await.is_ok() {
                answers = true;
            }
        }
        if !answers {
            // It hangs or is suspended; its children die with it.
            daemon.kill();
        }
        let left = if daemon.ended(END_PATIENCE).await {
            "every part was ended".to_owned()
        } else {
            let stop = typed::falco(self.paths, "stop --now");
            format!("{stop} ends what is left")
        };
        let logs = typed::falco(self.paths, "logs");
        Failure::new(exit, error).hint(format!("{logs} says more; {left}"))
    }
}

/// What ends a start from outside: Ctrl-C, a request to end, a terminal that is
/// closed.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) -> Verb {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => Verb::UpGotSigint,
            _ = terminate.recv() => Verb::UpGotSigterm,
            _ = hangup.recv() => Verb::UpGotSighup,
        }
    }
}

/// Makes the lock the supervisor's, in name too, and lets it go.
fn hand_over(
    mut lock: Lock,
    us: Holder,
    daemon: &Detached,
    launching: Launching,
) -> Result<UnixStream, Failure> {
    if let Some(identity) = daemon.identity() {
        lock.record(&Holder { identity, ..us })
            .map_err(|e| cannot("write falco.lock", &e))?;
    }
    drop(lock);
    launching.go().map_err(|e| cannot("read the start", &e))
}

fn cannot(doing: &str, error: &io::Error) -> Failure {
    Failure::to(Exit::CannotCreate, doing, error)
}

pub(super) fn stopped_meanwhile(paths: &Paths) -> Failure {
    let error = "the chain was stopped while it was starting";
    Failure::new(Exit::Failed, error).hint(typed::falco(paths, "up"))
}

/// The supervisor ended without a word: somebody killed it, or its standard
/// error has the reason.
fn died(paths: &Paths, boot_log: &Path, killed_by: Option<i32>) -> Failure {
    if let Some(signal) = killed_by {
        let error =
            format!("the supervisor was killed by signal {signal} before the chain was ready");
        return Failure::new(Exit::Failed, error).hint(typed::falco(paths, "up"));
    }
    let text = plain_file::read(boot_log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|l| !l.trim().is_empty());
    let error = match last {
        Some(line) => format!("the supervisor ended before the chain was ready: {line}"),
        None => "the supervisor ended before the chain was ready".to_owned(),
    };
    Failure::new(Exit::Internal, error).hint(format!("{} may say more", boot_log.display()))
}
