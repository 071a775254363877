//! `falco status --watch` and `--wait`: a status again and again.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::{Seen, Show};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::paths::Paths;
use crate::protocol::control::{ChainState, PartState, PartStatus, Status};

/// How often a watched chain is looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// How often it is looked at whether what is waited for has come: often at
/// first, since most starts take a fraction of a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Goal {
    /// Every part answers, or has finished
    Ready,
    /// Nothing runs
    Stopped,
}

/// How far off a goal is.
enum Distance {
    /// It is reached.
    There,
    /// It may come.
    Open,
    /// It will not come by itself: a part failed for good.
    Never(Failure),
}

impl Goal {
    /// `named` says whether only some parts were looked at: they can be over
    /// while others run.
    fn distance(self, seen: &Seen, named: bool) -> Distance {
        let status = match seen {
            Seen::Up(status) => status,
            Seen::Down if self == Self::Stopped => return Distance::There,
            Seen::Down | Seen::Passing(_) | Seen::Unknown(_) => return Distance::Open,
        };
        let reached = match self {
            Self::Ready => super::is_well(status),
            Self::Stopped => named && status.parts.iter().all(PartStatus::is_over),
        };
        let failed = |part: &&PartStatus| part.state == PartState::Failed;
        match status.parts.iter().find(failed) {
            _ if reached => Distance::There,
            // The chain may be going down for just that.
            Some(part) if self == Self::Ready && status.state != ChainState::Stopping => {
                Distance::Never(hopeless(part))
            }
            _ => Distance::Open,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stopped => "stopped",
        }
    }
}

/// Waits until `goal` is reached, and shows what is then.
pub(super) async fn wait(
    paths: &Paths,
    show: &Show,
    goal: Goal,
    patience: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut seen = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let looked = tokio::time::timeout(left.max(FIRST_PAUSE), show.look(paths)).await;
        // What was seen last is worth more than that the time is up.
        seen = looked.ok().transpose()?.or(seen);
        let named = !show.names.is_empty();
        let distance = seen.as_ref().map(|seen| goal.distance(seen, named));
        match (distance, &seen) {
            (Some(Distance::There), Some(seen)) => {
                // Reaching it is success, also where a plain status says 3.
                _ = show.print(paths, seen);
                return Ok(());
            }
            (Some(Distance::Never(failure)), _) => return Err(failure),
            _ => {}
        }
        if deadline <= Instant::now() + pause {
            return Err(late(goal, patience, seen));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn hopeless(part: &PartStatus) -> Failure {
    let name = &part.name;
    let exit = part.last_exit.as_ref().map(|exit| exit.ending.as_str());
    let how = exit.unwrap_or("it could not be started");
    let error = format!("{name} has failed for good: {how}");
    Failure::new(Exit::Failed, error).hint(format!("`falco restart {name}` tries again"))
}

fn late(goal: Goal, patience: Duration, seen: Option<Seen>) -> Failure {
    let how = match seen {
        None => "it did not answer".to_owned(),
        Some(Seen::Down) => "nothing runs".to_owned(),
        Some(Seen::Passing(state)) => format!("falco is {}", state.as_str()),
        Some(Seen::Unknown(failure)) => failure.to_string(),
        Some(Seen::Up(status)) => short_of(goal, &status),
    };
    let (goal, seconds) = (goal.as_str(), patience.as_secs_f64());
    let error = format!("not {goal} within {seconds} s: {how}");
    Failure::new(Exit::TimedOut, error).hint("`falco status` says more; `falco logs` says why")
}

/// What is not yet as it was to be.
fn short_of(goal: Goal, status: &Status) -> String {
    let missing = |part: &&PartStatus| match goal {
        Goal::Ready => !part.is_well(),
        Goal::Stopped => !part.is_over(),
    };
    let parts = status.parts.iter().filter(missing);
    let parts: Vec<_> = parts
        .map(|part| format!("{} is {}", part.name, part.state.as_str()))
        .collect();
    if parts.is_empty() {
        return format!("falco is {}", status.state.as_str());
    }
    parts.join(", ")
}

/// Shows every change, until the chain stops, nobody reads, or Ctrl-C.
pub(super) async fn watch(paths: &Paths, show: &Show) -> Result<(), Failure> {
    let cannot = |e| Failure::to(Exit::Internal, "watch signals", &e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let on_terminal = io::stdout().is_terminal() && !show.json;
    let (mut last, mut was_up) = (None, false);
    loop {
        let seen = show.look(paths).await?;
        let key = key(&seen);
        if on_terminal {
            output::line(&redraw(&show.text(paths, &seen)))?;
        } else if last.as_ref() != Some(&key) {
            if last.is_some() && !show.json {
                output::line("")?;
            }
            output::line(&show.text(paths, &seen))?;
        }
        last = Some(key);
        if matches!(seen, Seen::Down) {
            return if was_up {
                Ok(())
            } else {
                Err(Failure::already_printed(Exit::NotRunning))
            };
        }
        was_up = true;
        tokio::select! {
            () = tokio::time::sleep(WATCH_PAUSE) => {}
            _ = interrupt.recv() => return Ok(()),
        }
        if !output::is_read_within(Duration::ZERO) {
            return Ok(());
        }
    }
}

/// The text over what was there before.
fn redraw(text: &str) -> String {
    let lines = text.replace('\n', "\u{1b}[K\n");
    format!("\u{1b}[H{lines}\u{1b}[K\u{1b}[J")
}

/// What of a status makes it another one: not what counts up by itself.
fn key(seen: &Seen) -> String {
    let status = match seen {
        Seen::Up(status) => status,
        Seen::Down => return "down".to_owned(),
        Seen::Passing(state) => return state.as_str().to_owned(),
        Seen::Unknown(failure) => return failure.to_string(),
    };
    let parts = status.parts.iter();
    let parts: Vec<_> = parts
        .map(|p| (&p.name, p.state, p.ready, p.pid, p.incarnation, &p.trouble))
        .collect();
    let ups = status.transport.iter().flat_map(|t| &t.connections);
    let ups: Vec<_> = ups.map(|up| (&up.audience, &up.state)).collect();
    let sockets: Vec<_> = status.sockets.iter().map(|s| s.in_place).collect();
    let routes = status.ingest.iter().flat_map(|i| &i.routes);
    let routes: Vec<_> = routes.map(|r| (&r.name, r.connected)).collect();
    let state: ChainState = status.state;
    format!(
        "{state:?} {parts:?} {ups:?} {sockets:?} {routes:?} {:?}",
        status.logs.trouble
    )
}
