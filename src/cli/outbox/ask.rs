//! Who is asked: the Falco that runs, else the journal itself.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::of;
use crate::cli::chain;
use crate::cli::config::{self, Given};
use crate::cli::exit::{Exit, Failure};
use crate::cli::status::not_running;
use crate::control::client;
use crate::ingest::offline::{self, OfflineError};
use crate::journal::OpenError;
use crate::paths::Paths;
use crate::protocol::control::{Event, Request};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxStatus, OutboxVerb};

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long somebody else may have the journal: another `falco outbox`, or a
/// Falco that starts and will answer itself.
const LOCKED_PATIENCE: Duration = Duration::from_secs(5);

/// How soon it is asked for again.
const LOCKED_PAUSE: Duration = Duration::from_millis(25);

/// Ids in one request: a request is one line of bounded length.
const IDS_MAX: usize = 1000;

/// The answer of the Falco that runs, else of the journal itself.
pub(super) async fn ask(paths: &Paths, request: &OutboxRequest) -> Result<OutboxAnswer, Failure> {
    let until = Instant::now() + LOCKED_PATIENCE;
    let asked = Request::Outbox(request.clone());
    let answer = loop {
        match client::ask(&paths.control_socket(), &asked, PATIENCE).await {
            Ok(Event::Outbox(answer)) => break *answer,
            Ok(Event::Refused(refusal)) => return Err(Failure::from_refusal(refusal)),
            Ok(other) => {
                let error = format!("unexpected answer: {other:?}");
                return Err(Failure::new(Exit::Unknown, error));
            }
            Err(error) => {
                let failure = not_running(paths, &error);
                if failure.exit() != Exit::NotRunning {
                    return Err(failure);
                }
            }
        }
        match ask_disk(paths, request).await? {
            Ok(answer) => break answer,
            Err(error) if is_passing(&error) && Instant::now() < until => {
                sleep(LOCKED_PAUSE).await;
            }
            Err(OfflineError::Open(error)) => return Err(cannot_open(&error)),
            Err(error) => return Err(not_changed(&error)),
        }
    };
    match answer.error {
        Some(error) => Err(Failure::new(Exit::Failed, error)),
        None => Ok(answer),
    }
}

/// Asks for a change, of so many effects at a time.
pub(super) async fn change(paths: &Paths, request: OutboxRequest) -> Result<OutboxAnswer, Failure> {
    if request.ids.len() <= IDS_MAX {
        return ask(paths, &request).await;
    }
    let mut all = OutboxAnswer::default();
    for ids in request.ids.chunks(IDS_MAX) {
        let ids = ids.to_vec();
        let some = OutboxRequest {
            ids,
            ..request.clone()
        };
        let answer = ask(paths, &some).await?;
        all.changed += answer.changed;
        all.refused.extend(answer.refused);
    }
    Ok(all)
}

/// The numbers.
pub(super) async fn stats(paths: &Paths) -> Result<OutboxStatus, Failure> {
    let answer = ask(paths, &of(OutboxVerb::Stats, Vec::new())).await?;
    let none = || Failure::new(Exit::Unknown, "Falco said no numbers");
    answer.stats.ok_or_else(none)
}

async fn ask_disk(
    paths: &Paths,
    request: &OutboxRequest,
) -> Result<Result<OutboxAnswer, OfflineError>, Failure> {
    let directory = paths.outbox();
    if !directory.exists() {
        return Err(no_outbox(paths));
    }
    let config = config::load(paths, &Given::new(config::variables()))?.right()?;
    Ok(offline::ask(&directory, &chain::journal(&config), request).await)
}

pub(super) fn no_outbox(paths: &Paths) -> Failure {
    let text = format!("there is no outbox in {}", paths.base().display());
    Failure::new(Exit::NotRunning, text)
        .hint("a chain with delivery.mode = \"outbox\" in falco.toml makes one")
}

fn not_changed(error: &OfflineError) -> Failure {
    let failure = Failure::of(Exit::Failed, error);
    match error {
        OfflineError::Unrecorded(why) if why.may_come_back() => failure.hint(
            "it may have happened all the same: look with falco outbox list before you ask again",
        ),
        _ => failure,
    }
}

/// Whether somebody else is at it, and soon is not.
fn is_passing(error: &OfflineError) -> bool {
    match error {
        OfflineError::Open(OpenError::Locked { .. }) => true,
        OfflineError::Open(error) => is_gone(error),
        OfflineError::Unrecorded(_) => false,
    }
}

/// Whether a segment that was listed is gone: it was no longer needed.
pub(super) fn is_gone(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// What it means that a journal cannot be opened.
pub(super) fn cannot_open(error: &OpenError) -> Failure {
    match error {
        OpenError::Locked { .. } => Failure::of(Exit::TimedOut, error).hint("try again"),
        OpenError::Insecure { .. } => Failure::of(Exit::Permission, error),
        OpenError::NewerVersion { .. } => {
            Failure::of(Exit::Config, error).hint("use that version, or a later one")
        }
        OpenError::Read { .. } => Failure::of(Exit::Disk, error),
        OpenError::Io { .. } | OpenError::Thread(_) => Failure::of(Exit::CannotCreate, error),
    }
}
