//! `falco restart`: restart the whole chain, or some of its parts.

use super::exit::Failure;
use super::follow::{Patience, until_ready};
use super::settings::Instance;
use crate::protocol::control::Request;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts to restart [default: all]
    #[arg(value_name = "PART")]
    parts: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let request = Request::Restart { parts: args.parts };
    until_ready(&args.instance, &request, &args.patience)
}
