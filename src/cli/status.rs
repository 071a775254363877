//! `falco status`: what runs and how it is.
//!
//! Exit code 0: every part answers; 1: some part does not; 3: nothing runs;
//! 4: it could not be found out.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::exit::{Exit, Failure};
use super::runtime::block_on;
use super::settings::Instance;
use super::{events, holder, output, progress};
use crate::clock;
use crate::control::client::{self, ControlError};
use crate::net::unix::ConnectError;
use crate::paths::Paths;
use crate::protocol::control::{ChainState, Event, IngestStatus, PartStatus, Request, Status};
use crate::protocol::ipc::TransportStatus;
use crate::supervisor::instance::{Asked, Lock};

/// How long the supervisor may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a supervisor that has the lock and no control socket may just be
/// coming or going, and how often it is asked again.
const PASSING: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let status = match block_on(ask(&paths)) {
        Ok(status) => status,
        Err(failure) => return Err(unreachable(&args, &paths, failure)),
    };
    if args.json {
        let text = serde_json::to_string(&status).map_err(|e| Failure::of(Exit::Internal, &e))?;
        output::line(&text)?;
    } else {
        output::line(&render(&status))?;
    }
    match status.state {
        ChainState::Running => Ok(()),
        _ => Err(Failure::already_printed(Exit::Failed)),
    }
}

/// Asks the supervisor, again for a moment while one seems to come or go.
pub(super) async fn ask(paths: &Paths) -> Result<Box<Status>, Failure> {
    let socket = paths.control_socket();
    let deadline = Instant::now() + PASSING;
    loop {
        let error = match client::ask(&socket, &Request::Status, PATIENCE).await {
            Ok(Event::Status(status)) => return Ok(status),
            Ok(other) => {
                let error = format!("unexpected answer: {other:?}");
                return Err(Failure::new(Exit::Unknown, error));
            }
            Err(error) => error,
        };
        let failure = not_running(paths, &error);
        let may_pass = is_absence(&error) && failure.exit() == Exit::Unknown;
        if !may_pass || deadline <= Instant::now() {
            return Err(failure);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// There is no answer: says why, in the form that was asked for.
fn unreachable(args: &Args, paths: &Paths, failure: Failure) -> Failure {
    if args.json {
        let state = match failure.exit() {
            Exit::NotRunning => "stopped",
            _ => "unknown",
        };
        let object =
            serde_json::json!({"schema": 1, "state": state, "reason": failure.to_string()});
        _ = output::line(&object.to_string());
        return Failure::already_printed(failure.exit());
    }
    if failure.exit() == Exit::NotRunning {
        let place = progress::tilde(paths.base());
        let last = events::last_stop(paths).map(|last| format!(" · {last}"));
        _ = output::line(&format!(
            "○ falco {place}   not running{} · start: falco up",
            last.unwrap_or_default()
        ));
        return Failure::already_printed(Exit::NotRunning);
    }
    failure
}

/// What it means that the supervisor gave no answer: the lock decides.
pub(super) fn not_running(paths: &Paths, error: &ControlError) -> Failure {
    let lock = paths.lock_file();
    match Lock::ask_existing(&lock) {
        Ok(Asked::Ours(_) | Asked::Absent) if is_absence(error) => {
            Failure::new(Exit::NotRunning, "falco is not running").hint("falco up")
        }
        Ok(Asked::Ours(_) | Asked::Absent) => Failure::of(Exit::Unknown, error)
            .hint("something that is not falco listens on the control socket"),
        Ok(Asked::Held(who)) => holder::unresponsive(&lock, who.as_ref(), Exit::Unknown),
        Err(error) => Failure::of(Exit::Unknown, &error),
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

fn render(status: &Status) -> String {
    let mut text = headline(status);
    text.push_str(&table(&status.parts));
    for part in &status.parts {
        if let Some(trouble) = &part.trouble {
            let name = &part.name;
            _ = writeln!(text, "! {name}: {trouble}; falco restart {name}");
        }
    }
    if let Some(transport) = &status.transport {
        text.push_str(&upstream(transport));
    }
    if let Some(ingest) = &status.ingest {
        text.push_str(&effects(ingest));
    }
    if let Some(emulator) = &status.emulator {
        _ = writeln!(
            text,
            "emulator  http://{}  key in {}",
            emulator.address, emulator.key_file
        );
    }
    text.truncate(text.trim_end().len());
    text
}

fn headline(status: &Status) -> String {
    let (dot, word) = match status.state {
        ChainState::Running => ("●", "running"),
        ChainState::Starting => ("◐", "starting"),
        ChainState::Degraded => ("◐", "degraded"),
        ChainState::Stopping => ("◐", "stopping"),
    };
    format!(
        "{dot} falco {}   {word}   up {}   pid {}   v{}   mem {}\n",
        progress::tilde(status.base_dir.as_ref()),
        span(status.up_ms),
        status.pid,
        status.version,
        bytes(status.rss_bytes),
    )
}

fn table(parts: &[PartStatus]) -> String {
    let head = [
        "NAME",
        "STATE",
        "READY",
        "PID",
        "UPTIME",
        "RESTARTS",
        "LAST EXIT",
        "CPU",
        "MEM",
        "LISTENS",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(parts.iter().map(row));
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(part: &PartStatus) -> [String; 10] {
    let dash = || "—".to_owned();
    let state = match part.next_retry_ms {
        Some(ms) => format!("{}, retry in {}", part.state.as_str(), span(ms)),
        None => part.state.as_str().to_owned(),
    };
    let restarts = match &part.last_exit {
        Some(exit) if 0 < part.restarts => format!("{} ({} ago)", part.restarts, span(exit.ago_ms)),
        _ => part.restarts.to_string(),
    };
    let exit = part.last_exit.as_ref();
    [
        part.name.clone(),
        state,
        if part.ready { "yes" } else { "no" }.to_owned(),
        part.pid.map_or_else(dash, |p| p.to_string()),
        part.up_ms.map_or_else(dash, span),
        restarts,
        exit.map_or_else(dash, |e| {
            format!("{} after {}", e.ending, span(e.uptime_ms))
        }),
        part.cpu_ms.map_or_else(dash, progress::seconds),
        bytes(part.rss_bytes),
        part.place.clone(),
    ]
}

fn upstream(transport: &TransportStatus) -> String {
    let mut text = String::new();
    for up in &transport.connections {
        let error = up
            .last_error
            .as_ref()
            .map(|e| format!(" · last error: {e}"));
        _ = writeln!(
            text,
            "{}  {} {} to {} · {} in flight, {} queued{}",
            if up.is_broken() {
                "! upstream"
            } else {
                "upstream"
            },
            up.audience,
            up.state,
            up.host,
            up.in_flight,
            up.queued,
            error.unwrap_or_default()
        );
    }
    text
}

fn effects(ingest: &IngestStatus) -> String {
    let IngestStatus {
        accepted,
        succeeded,
        failed,
        retries,
        ..
    } = ingest;
    let link = if ingest.transport_connected {
        ""
    } else {
        " · not connected to the transport"
    };
    let mut text = format!(
        "effects   {accepted} taken, {succeeded} published, {failed} failed, {retries} retries · {} waiting in {} lanes, oldest {}{link}\n",
        ingest.queued + ingest.in_flight,
        ingest.lanes,
        span(ingest.oldest_age_ms),
    );
    if let Some(error) = &ingest.last_error {
        _ = writeln!(text, "last      {error}");
    }
    text
}

fn span(ms: u64) -> String {
    clock::span(Duration::from_millis(ms))
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "—".to_owned(),
        |b| format!("{}.{} MB", b / 1_000_000, b % 1_000_000 / 100_000),
    )
}
