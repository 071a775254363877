//! `falco stop`: stop the chain, last part first, and wait until it is gone.

mod whole;

use std::time::Duration;

use super::exit::{Exit, Failure};
use super::follow::follow;
use super::output;
use super::progress::{Progress, list, seconds};
use super::runtime::block_on;
use super::service::Owner;
use super::settings::{Instance, seconds_to_wait_at_most};
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::Request;
use crate::protocol::life::Verb;
use whole::Stop;

/// How long parts that are stopped by name may take.
const PARTS_PATIENCE: Duration = Duration::from_secs(30);

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
    /// Give up after this many seconds [default: 30, or as long as the parts may take]
    #[arg(long, value_name = "SECONDS", value_parser = seconds_to_wait_at_most())]
    timeout: Option<u64>,
    /// Say nothing unless it fails
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let timeout = args.timeout;
    let patience = timeout.map(Duration::from_secs);
    let progress = Progress::new(args.quiet);
    if !args.parts.is_empty() {
        let (now, parts, verb) = (false, args.parts, Some(Verb::Stop));
        let request = Request::Stop { now, parts, verb };
        let patience = patience.unwrap_or(PARTS_PATIENCE);
        return follow(&paths, &request, &progress, patience).map(|took| {
            progress.say(&format!("stopped in {}", seconds(took)));
        });
    }
    let service = args.owner.service(&paths);
    let stopped = block_on(async {
        let progress = progress.with_way_out("press Ctrl-C to kill now");
        let mut stop = Stop::new(paths, args.now, patience, progress)?;
        let stopped = stop.with(service.as_ref()).await?;
        nothing_left(&stop).map(|()| stopped)
    })?;
    if stopped {
        return Ok(());
    }
    Progress::new(args.quiet).say("falco is not running");
    if args.strict {
        return Err(Failure::already_printed(Exit::NotRunning));
    }
    Ok(())
}

/// Stops whatever owns the base directory, within `patience`; whether anything did.
pub(super) async fn whole_chain(paths: &Paths, patience: Duration) -> Result<bool, Failure> {
    let mut stop = Stop::new(paths.clone(), false, Some(patience), Progress::new(false))?;
    let stopped = stop.run().await?;
    nothing_left(&stop).map(|()| stopped)
}

/// The chain is down, and has done what it was to do.
fn nothing_left(stop: &Stop) -> Result<(), Failure> {
    nobody_left(stop.left())?;
    match stop.undone() {
        None => Ok(()),
        Some(undone) => {
            let hint =
                "the chain is down; `falco up` publishes what is in the outbox at its path then";
            let failure = Failure::new(Exit::Failed, output::visible(undone)).hint(hint);
            Err(failure.at(stop.paths()))
        }
    }
}

/// The chain is down, but for what no signal ends.
fn nobody_left(pids: &[u32]) -> Result<(), Failure> {
    if pids.is_empty() {
        return Ok(());
    }
    let (processes, pids) = (counted(pids.len(), "process"), list(pids));
    let error = format!("{processes} of the chain would not die: pid {pids}");
    Err(Failure::new(Exit::Failed, error)
        .hint("they hang in the kernel, or belong to another user; ps says which"))
}
