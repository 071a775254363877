//! `falco status`: what runs and how it is.
//!
//! Exit code 0: every part answers; 1: some part does not; 3: nothing runs;
//! 4: it could not be found out.

mod outlived;
mod paint;
mod render;
mod watch;

use std::time::{Duration, Instant};

use super::events::LastEnd;
use super::exit::{Exit, Failure};
use super::holder::{self, Tried};
use super::moment::Local;
use super::runtime::block_on;
use super::settings::Instance;
use super::{logs, output, progress, typed};
use crate::clock;
use crate::control::client::{self, ControlError};
use crate::net::unix::ConnectError;
use crate::paths::Paths;
use crate::protocol::control::{
    ChainState, Event, PartState, PartStatus, Request, STATUS_SCHEMA, Status,
};
use crate::supervisor::instance::{Asked, Lock};
use paint::{Paint, When};
use render::Render;
use watch::Goal;

/// How long the supervisor may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a supervisor that has the lock and no control socket may just be
/// coming or going, and how often it is asked again.
const PASSING: Duration = Duration::from_millis(1500);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  falco status                            the whole chain
  falco status transport                  one part; exit 0 if it answers, or has finished
  falco status --wait ready --timeout 10  exit 0 once everything answers, 75 if too late
  falco status --watch                    every change, until the chain stops")]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Only these parts
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show every change until the chain stops
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// Return when it is so
    #[arg(long, value_enum)]
    wait: Option<Goal>,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, requires = "wait", value_parser = seconds)]
    timeout: f64,
    /// Whether to use colors
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

/// As long as anybody may want to wait, in seconds: a year.
const TIMEOUT_MAX: f64 = 31_536_000.0;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=TIMEOUT_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    Err("not a number of seconds to wait".to_owned())
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let show = Show {
        render: Render {
            local: Local::new(),
            paint: Paint::new(args.color),
            uid: nix::unistd::geteuid().as_raw(),
        },
        names: args.names,
        json: args.json,
    };
    let done = block_on(async {
        if args.watch {
            return watch::watch(&paths, &show).await;
        }
        if let Some(goal) = args.wait {
            let patience = Duration::from_secs_f64(args.timeout);
            return watch::wait(&paths, &show, goal, patience).await;
        }
        let seen = show.look(&paths).await?;
        show.print(&paths, &seen)
    });
    done.map_err(|failure| failure.at(&paths))
}

/// What a look at the chain showed.
enum Seen {
    /// It answers.
    Up(Box<Status>),
    /// It is about to start, or to be gone, and does not answer.
    Passing(ChainState),
    /// Nothing runs.
    Down,
    /// It could not be found out.
    Unknown(Failure),
}

/// What is shown of it, and how.
struct Show {
    render: Render,
    names: Vec<String>,
    json: bool,
}

impl Show {
    /// Looks at the chain, or at those parts of it that are asked for.
    async fn look(&self, paths: &Paths) -> Result<Seen, Failure> {
        let mut status = match seek(paths).await {
            Ok(status) => status,
            Err(Silence::Down) => return Ok(Seen::Down),
            Err(Silence::Passing(state, _)) => return Ok(Seen::Passing(state)),
            Err(Silence::Unknown(failure)) => return Ok(Seen::Unknown(failure)),
        };
        if !self.names.is_empty() {
            self.select(&mut status)?;
        }
        Ok(Seen::Up(status))
    }

    fn select(&self, status: &mut Status) -> Result<(), Failure> {
        let known: Vec<_> = status.parts.iter().map(|p| p.name.as_str()).collect();
        if let Some(name) = self.names.iter().find(|n| !known.contains(&n.as_str())) {
            let error = format!("there is no part {name:?}; there are {}", known.join(", "));
            return Err(Failure::new(Exit::Usage, error));
        }
        status.parts.retain(|p| self.names.contains(&p.name));
        status.state = match status.state {
            ChainState::Stopping => ChainState::Stopping,
            _ if status.parts.iter().all(PartStatus::is_well) => ChainState::Running,
            _ => ChainState::Degraded,
        };
        Ok(())
    }

    /// Prints what was seen; the exit code says it too.
    fn print(&self, paths: &Paths, seen: &Seen) -> Result<(), Failure> {
        output::line(&self.text(paths, seen))?;
        match seen {
            Seen::Up(status) if is_well(status) => Ok(()),
            Seen::Up(_) | Seen::Passing(_) => Err(Failure::already_printed(Exit::Failed)),
            Seen::Down => Err(Failure::already_printed(Exit::NotRunning)),
            Seen::Unknown(failure) if self.json => Err(Failure::already_printed(failure.exit())),
            Seen::Unknown(failure) => Err(failure.clone()),
        }
    }

    fn text(&self, paths: &Paths, seen: &Seen) -> String {
        if self.json {
            return json(paths, seen);
        }
        let place = progress::tilde(paths.base());
        match seen {
            Seen::Up(status) => {
                let status = with_last_words(paths, status);
                let text = if self.names.is_empty() {
                    self.render.whole(&status)
                } else {
                    self.render.parts(&status.parts).trim_end().to_owned()
                };
                typed::complete(&text, paths)
            }
            Seen::Passing(state) => {
                let dot = self.render.dot(*state);
                format!("{dot} falco {place}   {}", state.as_str())
            }
            Seen::Down => {
                let last = LastEnd::find(paths).map(|last| format!(" · {}", last.text()));
                let last = last.unwrap_or_default();
                let left = outlived::text(&outlived::find(paths), paths);
                let up = typed::falco(paths, "up");
                format!("○ falco {place}   not running{last} · start: {up}{left}")
            }
            Seen::Unknown(failure) => format!("? falco {place}   unknown: {failure}"),
        }
    }
}

/// The same, with what each part that fails said last.
fn with_last_words(paths: &Paths, status: &Status) -> Status {
    use PartState::{Backoff, CrashLoop, Failed};
    let mut status = status.clone();
    let since = clock::utc(status.since_ms);
    for part in &mut status.parts {
        if matches!(part.state, Backoff | CrashLoop | Failed) {
            part.said_last = logs::last_word(paths, part, &since);
        }
    }
    status
}

fn is_well(status: &Status) -> bool {
    status.state == ChainState::Running
}

fn json(paths: &Paths, seen: &Seen) -> String {
    let bare = |state: &str, reason: &str| {
        serde_json::json!({"schema": STATUS_SCHEMA, "state": state, "reason": reason}).to_string()
    };
    match seen {
        Seen::Up(status) => {
            let status = with_last_words(paths, status);
            serde_json::to_string(&status).expect("a status serializes")
        }
        Seen::Passing(state) => bare(state.as_str(), "falco does not answer just now"),
        Seen::Down => serde_json::json!({
            "schema": STATUS_SCHEMA,
            "state": "stopped",
            "reason": "falco is not running",
            "last": LastEnd::find(paths),
            "outlived": outlived::json(&outlived::find(paths)),
        })
        .to_string(),
        Seen::Unknown(failure) => bare("unknown", &failure.to_string()),
    }
}

/// Why there is no status.
enum Silence {
    /// Nothing runs.
    Down,
    /// It wrote that it is about to start, or to be gone.
    Passing(ChainState, Failure),
    /// It could not be found out.
    Unknown(Failure),
}

impl Silence {
    fn into_failure(self, paths: &Paths) -> Failure {
        match self {
            Self::Down => Failure::new(Exit::NotRunning, "falco is not running")
                .hint(typed::falco(paths, "up")),
            Self::Passing(_, failure) | Self::Unknown(failure) => failure,
        }
    }
}

/// Asks the supervisor, again for a moment while one seems to come or go.
pub(super) async fn ask(paths: &Paths) -> Result<Box<Status>, Failure> {
    let silent = |silence: Silence| silence.into_failure(paths);
    seek(paths).await.map_err(silent)
}

/// The same; nothing where no supervisor runs, or one comes or goes.
pub(super) async fn ask_if_up(paths: &Paths) -> Result<Option<Box<Status>>, Failure> {
    match seek(paths).await {
        Ok(status) => Ok(Some(status)),
        Err(Silence::Down | Silence::Passing(..)) => Ok(None),
        Err(Silence::Unknown(failure)) => Err(failure),
    }
}

async fn seek(paths: &Paths) -> Result<Box<Status>, Silence> {
    let socket = paths.control_socket();
    let deadline = Instant::now() + PASSING;
    loop {
        let error = match client::ask(&socket, &Request::Status, PATIENCE).await {
            Ok(Event::Status(mut status)) => {
                typed::complete_status(&mut status, paths);
                return Ok(status);
            }
            Ok(other) => {
                let error = format!("unexpected answer: {other:?}");
                return Err(Silence::Unknown(Failure::new(Exit::Unknown, error)));
            }
            Err(error) => error,
        };
        let silence = silence(paths, &error);
        let may_pass = is_absence(&error) && !matches!(silence, Silence::Down);
        if !may_pass || deadline <= Instant::now() {
            return Err(silence);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What it means that the supervisor gave no answer.
pub(super) fn not_running(paths: &Paths, error: &ControlError) -> Failure {
    silence(paths, error).into_failure(paths)
}

/// The lock decides, and what its holder wrote.
fn silence(paths: &Paths, error: &ControlError) -> Silence {
    match Lock::ask_existing(&paths.lock_file()) {
        Ok(Asked::Ours(_) | Asked::Absent) if is_absence(error) => Silence::Down,
        Ok(Asked::Ours(_) | Asked::Absent) => Silence::Unknown(
            Failure::of(Exit::Unknown, error)
                .hint("something that is not falco listens on the control socket"),
        ),
        Ok(Asked::Held(who)) => {
            let failure = holder::unresponsive(paths, who.as_ref(), Exit::Unknown, Tried::Asking);
            match who.as_ref().and_then(holder::passing) {
                Some(state) => Silence::Passing(state, failure),
                None => Silence::Unknown(failure),
            }
        }
        Err(error) => Silence::Unknown(Failure::of(Exit::Unknown, &error)),
    }
}

/// Whether nobody answers because nobody is there, or not any more.
fn is_absence(error: &ControlError) -> bool {
    use ConnectError::{Absent, Refused};
    matches!(
        error,
        ControlError::Connect(Absent { .. } | Refused { .. }) | ControlError::Closed
    )
}
