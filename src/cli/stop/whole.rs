//! Stopping the whole chain: asked, followed, and killed if that is asked for.
//!
//! The lock decides: the chain is down when nobody holds it. Whoever holds it is
//! asked over the control socket; one that does not answer is killed with
//! `--now`, and whoever has the lock from it after it.

mod left;

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::{Exit, Failure};
use crate::cli::holder::{self, Tried};
use crate::cli::progress::{Progress, seconds};
use crate::cli::service::Place;
use crate::cli::typed;
use crate::control::client::{self, ControlError, Exchange};
use crate::paths::Paths;
use crate::process::identity::Fate;
use crate::process::lease;
use crate::protocol::control::{Event, Request};
use crate::protocol::life::Verb;
use crate::supervisor::instance::{Asked, Holder, Lock, Phase};

/// How often the lock is looked at once the supervisor has said goodbye.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How long a supervisor may be silent before it is asked whether it still is
/// there: a stop tells something every second.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// How long a stop may take, unless the chain says that it needs longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much longer than it said a chain may take.
const BEYOND_ITS_WORD: Duration = Duration::from_secs(1);

/// A stop under way.
pub(super) struct Stop {
    paths: Paths,
    now: bool,
    began: Instant,
    deadline: Instant,
    /// What was asked for; without it the chain may say that it needs longer.
    patience: Option<Duration>,
    progress: Progress,
    interrupt: Signal,
    /// Who holds the lock, and since when we know: for so long it has been silent.
    seen: (Option<Holder>, Instant),
    /// Whether it has answered at all.
    heard: bool,
    /// Whether somebody who held it was killed.
    killed: bool,
    /// Processes that could not be removed.
    left: Vec<u32>,
    /// What the chain says that it leaves undone.
    undone: Option<String>,
}

/// What came of asking.
enum Heard {
    /// It said all it had to say, or died; the lock will tell.
    TheEnd,
    /// It does not answer.
    Silence,
    /// Somebody pressed Ctrl-C.
    Interrupt,
}

impl Stop {
    /// A stop within `patience`, or as long as the chain says; with `now` it
    /// spares nobody. To be called on a runtime.
    pub(super) fn new(
        paths: Paths,
        now: bool,
        patience: Option<Duration>,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let interrupt = signal(SignalKind::interrupt());
        let failed = |e| Failure::to(Exit::Internal, "watch signals", &e);
        Ok(Self {
            paths,
            now,
            began,
            deadline: began + patience.unwrap_or(PATIENCE),
            patience,
            progress,
            interrupt: interrupt.map_err(failed)?,
            seen: (None, began),
            heard: false,
            killed: false,
            left: Vec::new(),
            undone: None,
        })
    }

    /// Which instance it is about.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Processes of the chain that could not be removed.
    pub(super) fn left(&self) -> &[u32] {
        &self.left
    }

    /// What the chain left undone.
    pub(super) fn undone(&self) -> Option<&str> {
        self.undone.as_deref()
    }

    /// As [`Self::run`], through the service that owns the chain: its manager
    /// must not start again what is stopped here.
    pub(super) async fn with(&mut self, service: Option<&Place>) -> Result<bool, Failure> {
        let Some(service) = service else {
            return self.run().await;
        };
        // Its manager may have ended it before it is looked for again.
        let ran = matches!(self.holder()?, Asked::Held(_));
        let told = service.before_stop().await.unwrap_or_else(|failure| {
            self.progress
                .warn(&format!("{}: {failure}", service.name()));
            false
        });
        let stopped = self.run().await?;
        let forgotten = service.after_stop().await?;
        match (stopped, told || forgotten) {
            (false, true) if ran => self.say_stopped(),
            (false, true) => self.progress.say(&format!("{} is stopped", service.name())),
            _ => {}
        }
        Ok(stopped || told || forgotten)
    }

    /// Whether there was anything to stop; it is gone then.
    pub(super) async fn run(&mut self) -> Result<bool, Failure> {
        let mut asked = None;
        loop {
            let who = match self.holder()? {
                Asked::Held(who) => who,
                free => return self.free(free, asked.is_some() || self.killed).await,
            };
            self.see(who.as_ref());
            if asked
                .as_ref()
                .is_some_and(|before: &Option<Holder>| is_another(before.as_ref(), who.as_ref()))
            {
                self.say_stopped();
                return Ok(true);
            }
            self.check_time(who.as_ref())?;
            if asked.is_some() {
                if self.pause().await? {
                    asked = None;
                }
            } else if self.ask(who.as_ref()).await? {
                asked = Some(who);
            }
        }
    }

    fn see(&mut self, who: Option<&Holder>) {
        if self.seen.0.as_ref() != who {
            self.seen = (who.cloned(), Instant::now());
        }
    }

    /// Waits a moment; whether somebody pressed Ctrl-C meanwhile.
    async fn pause(&mut self) -> Result<bool, Failure> {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => return Ok(false),
            _ = self.interrupt.recv() => {}
        }
        self.spare_nobody().map(|()| true)
    }

    /// Ctrl-C: from the first one on nobody is spared, and the next one leaves.
    fn spare_nobody(&mut self) -> Result<(), Failure> {
        if self.now {
            let error = "interrupted; what was asked to end goes on ending";
            let hint = typed::falco(&self.paths, "status");
            return Err(Failure::new(Exit::Interrupted, error).hint(hint));
        }
        self.now = true;
        self.progress.say("  interrupted: killing what is left");
        Ok(())
    }

    fn check_time(&self, who: Option<&Holder>) -> Result<(), Failure> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        if self.heard && !self.now {
            let error = "the chain was not gone in time; it goes on ending";
            let stop = |verb| typed::falco(&self.paths, verb);
            return Err(Failure::new(Exit::TimedOut, error).hint(format!(
                "{} again waits on; {} kills what is left",
                stop("stop"),
                stop("stop --now")
            )));
        }
        let exit = Exit::TimedOut;
        Err(holder::unresponsive(&self.paths, who, exit, self.tried()))
    }

    fn tried(&self) -> Tried {
        if self.now {
            Tried::Killing
        } else {
            Tried::Asking
        }
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
        loop {
            let request = Request::Stop {
                now: self.now,
                parts: Vec::new(),
                verb: Some(Verb::Stop),
            };
            let begun = Exchange::begin(&self.paths.control_socket(), &request).await;
            let Ok(exchange) = begun else {
                // It may be about to listen, or about to be gone.
                self.pause().await?;
                return if self.seen.1.elapsed() < FIRST_WORD {
                    Ok(false)
                } else {
                    self.force(who, false)
                };
            };
            match self.hear(exchange).await? {
                Heard::TheEnd => return Ok(true),
                Heard::Silence => return self.force(who, true),
                Heard::Interrupt => self.spare_nobody()?,
            }
        }
    }

    /// Follows what the supervisor tells.
    async fn hear(&mut self, mut exchange: Exchange) -> Result<Heard, Failure> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let next = tokio::select! {
                next = exchange.next(FIRST_WORD.min(left)) => next,
                _ = self.interrupt.recv() => return Ok(Heard::Interrupt),
            };
            match next {
                Ok(Event::Stopped { left, .. }) => {
                    self.undone = left;
                    return Ok(Heard::TheEnd);
                }
                Ok(event) => self.take(event),
                // The loop around us says that it is too late.
                Err(ControlError::TimedOut { .. }) if left.is_zero() => return Ok(Heard::TheEnd),
                Err(ControlError::TimedOut { .. }) if !self.answers().await => {
                    return Ok(Heard::Silence);
                }
                Err(ControlError::TimedOut { .. }) => self.heard = true,
                Err(_) => return Ok(Heard::TheEnd),
            }
        }
    }

    fn take(&mut self, event: Event) {
        self.heard = true;
        self.progress.show(&event);
        match event {
            Event::PartStuck { pids, .. } => self.left.extend(pids),
            Event::Waiting {
                within_ms: Some(within),
                ..
            } if self.patience.is_none() => {
                let needed = Duration::from_millis(within) + BEYOND_ITS_WORD;
                self.deadline = self.deadline.max(Instant::now() + needed);
            }
            _ => {}
        }
    }

    async fn answers(&self) -> bool {
        let socket = self.paths.control_socket();
        let left = self.deadline.saturating_duration_since(Instant::now());
        client::ask(&socket, &Request::Status, FIRST_WORD.min(left))
            .await
            .is_ok()
    }

    /// Whoever holds the lock does not answer: with `--now` it is killed, and the
    /// children of a supervisor die with it. Whether there is nobody to ask any
    /// more: the death of a launcher may leave the lock to its supervisor.
    fn force(&mut self, who: Option<&Holder>, was_asked: bool) -> Result<bool, Failure> {
        let Some(who) = who.filter(|who| self.now && self.kill(who)) else {
            let failure = holder::unresponsive(&self.paths, who, Exit::Unknown, self.tried());
            let is_suspended = who.is_some_and(|who| who.identity.fate() == Fate::Suspended);
            return Err(if was_asked && is_suspended {
                failure.adding("it stops once it goes on, for it was asked to")
            } else {
                failure
            });
        };
        self.killed = true;
        // Who is killed takes a moment to be gone.
        self.seen.1 = Instant::now();
        if who.phase == Phase::Launching {
            self.progress
                .say("  falco was just being started; its start was killed");
            return Ok(false);
        }
        self.progress
            .say("  supervisor did not answer and was killed");
        Ok(true)
    }

    /// Kills who holds the lock: the process that it names, or those who have it
    /// from that one.
    fn kill(&self, who: &Holder) -> bool {
        let killed = who.identity.kill();
        let error = match killed {
            Ok(()) => return true,
            Err(error) => error,
        };
        let heirs = lease::end_heirs(&self.paths.lock_file(), &who.identity);
        tracing::debug!(%error, ?heirs, "Whoever took the lock was not killed.");
        !heirs.is_empty()
    }
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
