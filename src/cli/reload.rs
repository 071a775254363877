//! `falco reload`: read the configuration anew and do what changed in it.

use super::exit::Failure;
use super::follow::{Patience, until_ready};
use super::settings::Instance;
use crate::protocol::control::Request;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    until_ready(&args.instance, &Request::Reload, &args.patience)
}
