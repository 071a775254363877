//! `falco restart`: restart the whole chain, or some of its parts.

use std::time::Duration;

use super::exit::{Exit, Failure};
use super::holder;
use super::progress::{Progress, seconds};
use super::runtime::block_on;
use super::settings::Instance;
use super::status::not_running;
use crate::control::client::{ControlError, Exchange};
use crate::paths::Paths;
use crate::process::identity::Fate;
use crate::protocol::control::{Event, Request};
use crate::supervisor::instance::{Asked, Lock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts to restart [default: all]
    #[arg(value_name = "PART")]
    parts: Vec<String>,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let progress = Progress::new(false);
    let patience = Duration::from_secs(args.timeout.max(1));
    let request = Request::Restart { parts: args.parts };
    block_on(async {
        let begun = Exchange::begin(&paths.control_socket(), &request).await;
        let mut exchange = begun.map_err(|e| not_running(&paths, &e))?;
        let began = std::time::Instant::now();
        let following = async {
            loop {
                match exchange.next(patience).await {
                    Ok(Event::Ready(_)) => return Ok(()),
                    Ok(Event::Refused { error }) => return Err(Failure::new(Exit::Usage, error)),
                    Ok(Event::Failed(failure)) => return Err(Failure::from_start(failure)),
                    Ok(event) => progress.show(&event),
                    Err(ControlError::TimedOut { .. }) => return Err(late(&paths)),
                    Err(error) => return Err(Failure::of(Exit::Unknown, &error)),
                }
            }
        };
        tokio::time::timeout(patience, following)
            .await
            .unwrap_or_else(|_| Err(late(&paths)))?;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        progress.say(&format!("ready in {}", seconds(took)));
        Ok(())
    })
}

fn late(paths: &Paths) -> Failure {
    let lock = paths.lock_file();
    if let Ok(Asked::Held(Some(who))) = Lock::ask_existing(&lock)
        && who.identity.fate() == Fate::Suspended
    {
        return holder::unresponsive(&lock, Some(&who), Exit::TimedOut);
    }
    Failure::new(Exit::TimedOut, "the chain was not ready in time").hint("falco status")
}
