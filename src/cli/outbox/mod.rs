//! `falco outbox`: what is kept on disk until it is published.
//!
//! Asks the Falco that runs; if none does, reads the journal itself, and opens
//! it for what changes something. Payloads are printed by `show` only.

mod ask;
mod compact;
mod tell;
mod verify;

use super::exit::{Exit, Failure};
use super::output;
use super::runtime::block_on;
use super::settings::Instance;
use crate::paths::Paths;
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

use ask::{ask, cannot_open, change};

pub(super) use tell::summary;

/// Records asked for at a time.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
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
        /// So many at most
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
        limit: usize,
    },
    /// Print everything about some effects, payloads included
    Show {
        /// The effects
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Publish dead letters again, as they were
    Requeue {
        /// The dead letters
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Keep some effects no longer: they will not be published
    Drop {
        /// The effects
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Check every record on disk; changes nothing (exit 1 if something is damaged)
    Verify,
    /// Gain disk space from what is published
    Compact,
    /// Print the numbers
    Stats,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    let json = args.json;
    match args.verb {
        Verb::List { dead, limit } => block_on(list(&paths, dead, limit, json)),
        Verb::Verify => verify::run(&paths, json),
        Verb::Show { ids } => block_on(show(&paths, ids, json)),
        Verb::Requeue { ids, all } => {
            let request = OutboxRequest {
                all,
                ..of(OutboxVerb::Requeue, ids)
            };
            let answer = block_on(change(&paths, request))?;
            changed(&answer, json, "to be published again")
        }
        Verb::Drop { ids } => {
            let answer = block_on(change(&paths, of(OutboxVerb::Drop, ids)))?;
            changed(&answer, json, "dropped")
        }
        Verb::Compact => block_on(compact::run(&paths, json)),
        Verb::Stats => {
            let stats = block_on(ask::stats(&paths))?;
            tell::stats(&stats, json)
        }
    }
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
    let mut unknown = Vec::new();
    for id in ids {
        let answer = ask(paths, &of(OutboxVerb::Show, vec![id.clone()])).await?;
        if answer.records.is_empty() {
            unknown.push(format!("{id}: there is no such effect in the outbox"));
        }
        tell::records(&answer.records, json, tell::shown)?;
    }
    refused(&unknown)
}

async fn list(paths: &Paths, dead_only: bool, limit: usize, json: bool) -> Result<(), Failure> {
    let mut printed = 0;
    while printed < limit {
        let request = OutboxRequest {
            verb: OutboxVerb::List,
            dead_only,
            limit: PAGE.min(limit - printed),
            skip: printed,
            ..OutboxRequest::default()
        };
        let answer = ask(paths, &request).await?;
        printed += answer.records.len();
        tell::records(&answer.records, json, tell::listed)?;
        if !answer.more || answer.records.is_empty() {
            return Ok(());
        }
    }
    // Whoever reads the list by program has asked for so many.
    output::message(&format!("… and more: -n COUNT lists more than {limit}"));
    Ok(())
}

fn changed(answer: &OutboxAnswer, json: bool, how: &str) -> Result<(), Failure> {
    tell::changed(answer, json, how)?;
    refused(&answer.refused)
}

fn refused(why: &[String]) -> Result<(), Failure> {
    if why.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, why.join("; ")))
}
