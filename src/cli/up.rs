//! `falco up`: bring the chain up.

use super::exit::{Exit, Failure};
use super::settings::Instance;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    _ = args;
    Err(Failure::new(Exit::Internal, "not built yet"))
}
