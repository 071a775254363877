//! `falco reload`: read the configuration anew and do what changed in it.

use super::exit::Failure;
use super::follow::{Patience, until_ready};
use super::progress::Progress;
use super::runtime::block_on;
use super::settings::Instance;
use super::{outbox, status, typed};
use crate::paths::Paths;
use crate::protocol::control::{Request, Status};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    patience: Patience,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let before = ask(&paths);
    until_ready(&args.instance, &Request::Reload, &args.patience)?;
    let (before, after) = (before.as_ref(), ask(&paths));
    if let Some(after) = after
        .as_ref()
        .filter(|after| life(after) != before.and_then(|before| life(before)))
    {
        tell_unrouted(after, &paths);
    }
    Ok(())
}

/// How the chain is, if it says so.
fn ask(paths: &Paths) -> Option<Box<Status>> {
    block_on(status::ask(paths)).ok()
}

/// Which of its lives Falco lives: what it tells is of one.
fn life(status: &Status) -> Option<u32> {
    let falco = status.parts.iter().find(|part| part.name == "falco");
    falco.map(|falco| falco.incarnation)
}

/// Says what a route that is gone has left.
fn tell_unrouted(status: &Status, paths: &Paths) {
    let outbox = status.ingest.as_ref().and_then(|i| i.outbox.as_ref());
    if let Some(unrouted) = outbox.and_then(outbox::unrouted) {
        Progress::new(false).warn(&typed::complete(&unrouted, paths));
    }
}
