//! `daemon-ably`: the transport alone, as the old program of that name.

use clap::Parser;

use super::exit::{Exit, Failure};
use super::settings::Logging;
use crate::process::inherited::Inherited;

/// The transport: takes requests on ably.sock, keeps the connections to Ably.
#[derive(Debug, Parser)]
#[command(name = "daemon-ably", version)]
pub(super) struct Args {
    /// The device this runs on
    #[arg(long, value_name = "ID")]
    device_id: String,
    /// The user it belongs to
    #[arg(long, value_name = "ID")]
    user_id: String,
    #[command(flatten)]
    logging: Logging,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    _ = (args, inherited);
    Err(Failure::new(Exit::Internal, "not built yet"))
}
