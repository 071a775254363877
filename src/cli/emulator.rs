//! `falco emulator`: the local Ably-compatible server.

use super::exit::{Exit, Failure};
use super::settings::Instance;
use crate::process::inherited::Inherited;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    _ = (args, inherited);
    Err(Failure::new(Exit::Internal, "not built yet"))
}
