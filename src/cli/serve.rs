//! `falco --device-id X`: Falco alone, as the old program of that name.

use clap::Parser;

use super::exit::{Exit, Failure};
use super::settings::Logging;
use crate::process::inherited::Inherited;

/// Falco alone: takes side effects on falco.sock, publishes them through ably.sock.
#[derive(Debug, Parser)]
#[command(name = "falco", version)]
pub(super) struct Args {
    /// The device whose side effects these are
    #[arg(long, value_name = "ID")]
    device_id: String,
    #[command(flatten)]
    logging: Logging,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    _ = (args, inherited);
    Err(Failure::new(Exit::Internal, "not built yet"))
}
