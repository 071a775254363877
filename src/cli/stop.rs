//! `falco stop`: stop the chain, last part first, and wait until it is gone.

use std::time::{Duration, Instant};

use super::daemon::{once_free, still_held};
use super::exit::{Exit, Failure};
use super::follow::follow;
use super::holder;
use super::progress::{Progress, list, seconds};
use super::runtime::block_on;
use super::service::{self, Owner, Place};
use super::settings::Instance;
use crate::control::client::{self, ControlError, Exchange};
use crate::net::unix;
use crate::paths::Paths;
use crate::process::identity::{Fate, Identity};
use crate::process::lease::{self, Outlived};
use crate::protocol::control::{Event, Request};
use crate::supervisor::instance::{Asked, Holder, Lock, Phase, clear_pid_file};

/// How often the lock is looked at once the supervisor has said goodbye.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How long a supervisor may be silent before it is asked whether it still is
/// there: a stop tells something at least once a grace.
const FIRST_WORD: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts to stop, until `falco restart` names them [default: all]
    #[arg(value_name = "PART", conflicts_with = "now")]
    parts: Vec<String>,
    /// Without grace: kill every part, and a supervisor that does not answer
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    owner: Owner,
    /// Exit with 3 if nothing runs
    #[arg(long)]
    strict: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// Say nothing unless it fails
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let patience = Duration::from_secs(args.timeout.max(1));
    if !args.parts.is_empty() {
        let progress = Progress::new(args.quiet);
        let (now, parts) = (false, args.parts);
        let request = Request::Stop { now, parts };
        return follow(&paths, &request, &progress, patience).map(|took| {
            progress.say(&format!("stopped in {}", seconds(took)));
        });
    }
    let service = args.owner.service(&paths);
    let mut stop = Stop {
        now: args.now,
        deadline: Instant::now() + patience,
        began: Instant::now(),
        paths,
        progress: Progress::new(args.quiet),
        left: Vec::new(),
    };
    let stopped = block_on(stop.with(service.as_ref()))?;
    if !stop.left.is_empty() {
        return Err(left_behind(&stop.left));
    }
    if stopped {
        return Ok(());
    }
    stop.progress.say("falco is not running");
    if args.strict {
        return Err(Failure::already_printed(Exit::NotRunning));
    }
    Ok(())
}

struct Stop {
    paths: Paths,
    now: bool,
    began: Instant,
    deadline: Instant,
    progress: Progress,
    /// Processes that could not be removed.
    left: Vec<u32>,
}

/// Stops whatever owns the base directory, within `patience`; whether anything did.
pub(super) async fn whole_chain(paths: &Paths, patience: Duration) -> Result<bool, Failure> {
    let mut stop = Stop {
        paths: paths.clone(),
        now: false,
        began: Instant::now(),
        deadline: Instant::now() + patience,
        progress: Progress::new(false),
        left: Vec::new(),
    };
    let stopped = stop.run().await?;
    if stop.left.is_empty() {
        return Ok(stopped);
    }
    Err(left_behind(&stop.left))
}

impl Stop {
    /// As [`Self::run`], through the service that owns the chain: its manager
    /// must not start again what is stopped here.
    async fn with(&mut self, service: Option<&Place>) -> Result<bool, Failure> {
        let Some(service) = service else {
            return self.run().await;
        };
        let told = service.before_stop().await.unwrap_or_else(|failure| {
            self.progress
                .warn(&format!("{}: {failure}", service.name()));
            false
        });
        let stopped = self.run().await?;
        let forgotten = service.after_stop().await?;
        if !stopped && (told || forgotten) {
            self.progress.say(&format!("{} is stopped", service.name()));
        }
        Ok(stopped || told || forgotten)
    }

    /// Whether there was anything to stop; it is gone then.
    async fn run(&mut self) -> Result<bool, Failure> {
        let mut asked = None;
        loop {
            let who = match self.holder()? {
                Asked::Held(who) => who,
                free => return self.free(free, asked.is_some()).await,
            };
            if asked
                .as_ref()
                .is_some_and(|before: &Option<Holder>| is_another(before.as_ref(), who.as_ref()))
            {
                self.say_stopped();
                return Ok(true);
            }
            self.check_time(who.as_ref())?;
            if asked.is_some() {
                tokio::time::sleep(LOOK_AGAIN).await;
            } else if self.ask(who.as_ref()).await? {
                asked = Some(who);
            }
        }
    }

    /// Nobody holds the lock; whether there was anything to stop.
    ///
    /// A supervisor whose lock file was removed still answers, and is stopped
    /// too. If the lock is ours, nobody can start meanwhile.
    async fn free(&mut self, lock: Asked, asked: bool) -> Result<bool, Failure> {
        let astray = if asked {
            None
        } else {
            self.without_lock().await
        };
        if let Some(identity) = &astray {
            self.progress
                .say("  the lock file of a running falco was removed; stopping it all the same");
            self.ask(None).await?;
            while identity.fate() != Fate::Gone {
                self.check_time(None)?;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        let mut stopped = asked || astray.is_some();
        if let Asked::Ours(_lock) = &lock {
            stopped |= self.end_outliving()?;
            self.clear();
        }
        if stopped {
            self.say_stopped();
        }
        Ok(stopped)
    }

    /// Who answers on the control socket though nobody holds the lock.
    async fn without_lock(&self) -> Option<Identity> {
        let socket = self.paths.control_socket();
        match client::ask(&socket, &Request::Status, FIRST_WORD).await {
            Ok(Event::Status(status)) => Identity::of(status.pid),
            _ => None,
        }
    }

    fn check_time(&self, who: Option<&Holder>) -> Result<(), Failure> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let lock = self.paths.lock_file();
        Err(holder::unresponsive(&lock, who, Exit::TimedOut))
    }

    fn say_stopped(&self) {
        let took = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress
            .say(&format!("stopped in {} · sockets removed", seconds(took)));
    }

    /// Whether somebody holds the lock. Asking makes no file where there is none.
    fn holder(&self) -> Result<Asked, Failure> {
        Lock::ask_existing(&self.paths.lock_file()).map_err(|e| holder::lock_failure(&e))
    }

    /// Asks the supervisor to stop and follows it to the end; whether it heard.
    async fn ask(&mut self, who: Option<&Holder>) -> Result<bool, Failure> {
        let request = Request::Stop {
            now: self.now,
            parts: Vec::new(),
        };
        let Ok(mut exchange) = Exchange::begin(&self.paths.control_socket(), &request).await else {
            // It may be about to listen, or about to be gone.
            tokio::time::sleep(LOOK_AGAIN).await;
            return if self.began.elapsed() < FIRST_WORD {
                Ok(false)
            } else {
                self.force(who)
            };
        };
        let mut patience = FIRST_WORD;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match exchange.next(patience.min(left)).await {
                Ok(Event::Stopped { .. }) => return Ok(true),
                Ok(event) => {
                    self.progress.show(&event);
                    if let Event::PartStuck { pids, .. } = event {
                        self.left.extend(pids);
                    }
                }
                Err(ControlError::TimedOut { .. }) => {
                    if patience == FIRST_WORD && !self.answers().await {
                        return self.force(who);
                    }
                    if self.deadline <= Instant::now() {
                        return Ok(true);
                    }
                    self.progress
                        .say("  waiting for a part that takes its time; falco stop --now kills it");
                    patience = self.deadline.saturating_duration_since(Instant::now());
                }
                // It said all it had to say, or died; the lock will tell.
                Err(_) => return Ok(true),
            }
        }
    }

    async fn answers(&self) -> bool {
        let socket = self.paths.control_socket();
        let left = self.deadline.saturating_duration_since(Instant::now());
        client::ask(&socket, &Request::Status, FIRST_WORD.min(left))
            .await
            .is_ok()
    }

    /// The supervisor does not answer: with `--now` it is killed, and its
    /// children die with it.
    fn force(&self, who: Option<&Holder>) -> Result<bool, Failure> {
        // The death of a launcher ends nobody.
        let supervisor = who.filter(|h| h.phase != Phase::Launching);
        let killed = self.now && supervisor.is_some_and(|h| kill(&h.identity));
        if !killed {
            return Err(holder::unresponsive(
                &self.paths.lock_file(),
                who,
                Exit::Unknown,
            ));
        }
        self.progress
            .say("  supervisor did not answer and was killed, its children with it");
        Ok(true)
    }

    /// Ends the children of a killed supervisor that did not die with it; whether
    /// there were any. We hold the lock.
    fn end_outliving(&self) -> Result<bool, Failure> {
        let outlived = lease::clear(&self.paths.run()).map_err(|e| still_held(&e))?;
        for Outlived { name, pids } in &outlived {
            self.progress.show(&Event::Outlived {
                part: name.clone(),
                pids: pids.clone(),
            });
        }
        Ok(!outlived.is_empty())
    }

    /// Removes what a killed supervisor and its parts left; we hold the lock.
    fn clear(&self) {
        let sockets = [
            self.paths.falco_socket(),
            self.paths.ably_socket(),
            self.paths.broker_socket(),
            self.paths.control_socket(),
        ];
        // Where systemd listens, to look who is there would start the chain.
        let mine = &sockets[usize::from(service::listens(&self.paths))..];
        for socket in mine.iter().filter(|s| s.exists()) {
            if let Ok(true) = once_free(|| unix::clear_stale(socket)) {
                self.progress
                    .say(&format!("  removed stale socket {}", socket.display()));
            }
        }
        clear_pid_file(&self.paths.pid_file());
    }
}

/// The chain is down, but for what no signal ends.
fn left_behind(pids: &[u32]) -> Failure {
    let (pids, n) = (list(pids), pids.len());
    let error = format!("{n} processes of the chain would not die: pid {pids}");
    Failure::new(Exit::Failed, error)
        .hint("they hang in the kernel, or belong to another user; ps says which")
}

/// Whether the lock has passed on from `before`, which is gone then. A launcher
/// hands it to the supervisor it starts.
fn is_another(before: Option<&Holder>, now: Option<&Holder>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) if before.phase != Phase::Launching => {
            before.instance != now.instance
        }
        _ => false,
    }
}

fn kill(identity: &Identity) -> bool {
    let killed = identity.kill();
    killed
        .inspect_err(|error| tracing::debug!(%error, "Not killed."))
        .is_ok()
}
