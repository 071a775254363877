//! `falco restart`: restart the whole chain, or some of its parts.

use std::time::Duration;

use super::exit::Failure;
use super::follow::follow;
use super::progress::{Progress, seconds};
use super::settings::Instance;
use crate::protocol::control::Request;

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
    let took = follow(&paths, &request, &progress, patience)?;
    progress.say(&format!("ready in {}", seconds(took)));
    Ok(())
}
