//! `falco outbox`: what is kept on disk until it is published.
//!
//! Asks the Falco that runs; if none does, reads the journal itself, and opens
//! it for what changes something. Payloads are printed by `show` only.

pub(super) mod args;
pub(super) mod ask;
mod compact;
pub(super) mod pages;
mod question;
pub(super) mod tell;
mod verify;

use super::exit::Failure;
use super::runtime::block_on;
use crate::paths::Paths;
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{OutboxRequest, OutboxVerb, UNKNOWN};

use args::{Common, Limit};
use ask::{Oracle, cannot_open};

pub(super) use tell::{lost, summary, unrouted};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what is kept, dead letters first; never a payload
    List {
        /// Dead letters only
        #[arg(long)]
        dead: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Print everything about some effects, payloads included
    Show {
        /// The effects
        #[arg(value_name = "ID", required = true, value_parser = args::id)]
        ids: Vec<EffectId>,
    },
    /// Publish dead letters again, as they were
    Requeue {
        /// The dead letters
        #[arg(value_name = "ID", required_unless_present = "all", value_parser = args::id)]
        ids: Vec<EffectId>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Keep some effects no longer: they will not be published
    Drop {
        /// The effects
        #[arg(value_name = "ID", required = true, value_parser = args::id)]
        ids: Vec<EffectId>,
    },
    /// Check every record on disk; changes nothing (exit 1 if something is damaged)
    Verify,
    /// Gain disk space from what is published
    Compact,
    /// Print the numbers
    Stats,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.common.instance.paths()?;
    let json = args.common.json;
    let done = match args.verb {
        Verb::List { dead, limit } => block_on(list(&paths, dead, limit, json)),
        Verb::Verify => verify::run(&paths, json),
        Verb::Show { ids } => block_on(show(&paths, args::ids(&ids), json)),
        Verb::Requeue { ids, all } => {
            let request = OutboxRequest {
                all,
                ..of(OutboxVerb::Requeue, args::ids(&ids))
            };
            let changed = block_on(pages::change(&paths, request));
            let told = |count| format!("{count} to be published again");
            changed.and_then(|changed| changed.tell(json, told, None))
        }
        Verb::Drop { ids } => {
            let request = of(OutboxVerb::Drop, args::ids(&ids));
            let changed = block_on(pages::change(&paths, request));
            let told = |count| format!("{count} dropped");
            changed.and_then(|changed| changed.tell(json, told, None))
        }
        Verb::Compact => block_on(compact::run(&paths, json)),
        Verb::Stats => {
            let stats = block_on(ask::stats(&mut Oracle::to_look(&paths)));
            stats.and_then(|stats| tell::stats(&stats, &paths, json))
        }
    };
    done.map_err(|failure| failure.at(&paths))
}

fn of(verb: OutboxVerb, ids: Vec<String>) -> OutboxRequest {
    OutboxRequest {
        verb,
        ids,
        ..OutboxRequest::default()
    }
}

/// One at a time: payloads are large.
async fn show(paths: &Paths, ids: Vec<String>, json: bool) -> Result<(), Failure> {
    let mut oracle = Oracle::to_look(paths);
    let mut unknown = Vec::new();
    for id in ids {
        let answer = oracle.ask(&of(OutboxVerb::Show, vec![id.clone()])).await?;
        if answer.records.is_empty() {
            unknown.push(format!("{id}: {UNKNOWN}"));
        }
        tell::records(&answer.records, json, tell::shown)?;
    }
    pages::ended(Ok(()), &unknown, None)
}

async fn list(paths: &Paths, dead_only: bool, limit: Limit, json: bool) -> Result<(), Failure> {
    let request = OutboxRequest {
        dead_only,
        ..of(OutboxVerb::List, Vec::new())
    };
    pages::list(paths, request, limit, |answer| {
        tell::records(&answer.records, json, tell::listed)
    })
    .await
}
