//! Asks a chain that runs for something, and follows it to the end.

use std::time::{Duration, Instant};

use super::exit::{Exit, Failure};
use super::holder::{self, Tried};
use super::progress::{Progress, seconds};
use super::runtime::block_on;
use super::settings::{Instance, seconds_to_wait_at_most};
use super::status::not_running;
use super::typed;
use crate::control::client::{ControlError, Exchange};
use crate::paths::Paths;
use crate::process::identity::Fate;
use crate::protocol::control::{Event, Request};
use crate::supervisor::instance::{Asked, Lock};

/// Asks, shows how it goes, and says how long it took to be ready.
pub(super) fn until_ready(
    instance: &Instance,
    request: &Request,
    patience: &Patience,
) -> Result<(), Failure> {
    let paths = instance.paths()?;
    let progress = Progress::new(false);
    let patience = Duration::from_secs(patience.timeout);
    let took = follow(&paths, request, &progress, patience)?;
    progress.say(&format!("ready in {}", seconds(took)));
    Ok(())
}

/// How long a person waits for it.
#[derive(Debug, clap::Args)]
pub(super) struct Patience {
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds_to_wait_at_most())]
    timeout: u64,
}

/// Asks, and shows how it goes; yields after how many milliseconds it was done.
pub(super) fn follow(
    paths: &Paths,
    request: &Request,
    progress: &Progress,
    patience: Duration,
) -> Result<u64, Failure> {
    let began = Instant::now();
    block_on(async {
        let begun = Exchange::begin(&paths.control_socket(), request).await;
        let exchange = begun.map_err(|e| not_running(paths, &e))?;
        let following = to_the_end(exchange, paths, progress, patience);
        tokio::select! {
            done = tokio::time::timeout(patience, following) => {
                done.unwrap_or_else(|_| Err(late(paths)))
            }
            _ = tokio::signal::ctrl_c() => {
                let error = "interrupted; it goes on all the same";
                let hint = typed::falco(paths, "status");
                Err(Failure::new(Exit::Interrupted, error).hint(hint))
            }
        }
    })
    .map_err(|failure: Failure| failure.at(paths))?;
    Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

async fn to_the_end(
    mut exchange: Exchange,
    paths: &Paths,
    progress: &Progress,
    patience: Duration,
) -> Result<(), Failure> {
    loop {
        match exchange.next(patience).await {
            Ok(Event::Ready(_) | Event::Done { .. }) => return Ok(()),
            Ok(Event::Refused(refusal)) => return Err(Failure::from_refusal(refusal)),
            Ok(Event::Failed(failure)) => return Err(Failure::from_start(failure)),
            Ok(Event::Stopped { .. }) => {
                return Err(Failure::new(
                    Exit::Failed,
                    "the chain was stopped meanwhile",
                ));
            }
            Ok(event) => progress.show(&event),
            Err(ControlError::TimedOut { .. }) => return Err(late(paths)),
            Err(ControlError::Closed) => {
                let error = "falco ended before it was done";
                let hint = typed::falco(paths, "status");
                return Err(Failure::new(Exit::Unknown, error).hint(hint));
            }
            Err(error) => return Err(Failure::of(Exit::Unknown, &error)),
        }
    }
}

fn late(paths: &Paths) -> Failure {
    if let Ok(Asked::Held(Some(who))) = Lock::ask_existing(&paths.lock_file())
        && who.identity.fate() == Fate::Suspended
    {
        return holder::unresponsive(paths, Some(&who), Exit::TimedOut, Tried::Asking)
            .adding("it does what it was asked once it goes on");
    }
    let hint = typed::falco(paths, "status");
    Failure::new(Exit::TimedOut, "it was not done in time").hint(hint)
}
