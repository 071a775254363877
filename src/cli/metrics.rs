//! `falco metrics`: the numbers of `status`, as Prometheus reads them.

use super::exit::Failure;
use super::runtime::block_on;
use super::settings::Instance;
use super::{output, status};
use crate::protocol::metrics;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let status = block_on(status::ask(&paths))?;
    output::line(metrics::text(&status).trim_end())
}
