//! `falco outbox`: what is kept on disk until it is published.
//!
//! Asks the Falco that runs; if none does, opens the journal itself. Payloads
//! are printed by `show` only.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::chain;
use super::config::{self, Given};
use super::exit::{Exit, Failure};
use super::output;
use super::runtime::block_on;
use super::settings::Instance;
use super::status::not_running;
use crate::clock;
use crate::control::client;
use crate::ingest::offline::{self, OfflineError};
use crate::journal::{self, OpenError};
use crate::paths::Paths;
use crate::protocol::control::{Event, Request};
use crate::protocol::outbox::{
    OutboxAnswer, OutboxRecord, OutboxRequest, OutboxStatus, OutboxVerb,
};

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(35);

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
        Verb::Verify => verify(&paths, json),
        Verb::Show { ids } => block_on(show(&paths, ids, json)),
        Verb::Requeue { ids, all } => {
            let request = OutboxRequest {
                all,
                ..of(OutboxVerb::Requeue, ids)
            };
            changed(
                &block_on(ask(&paths, &request))?,
                json,
                "to be published again",
            )
        }
        Verb::Drop { ids } => {
            let answer = block_on(ask(&paths, &of(OutboxVerb::Drop, ids)))?;
            changed(&answer, json, "dropped")
        }
        Verb::Compact => block_on(ask(&paths, &of(OutboxVerb::Compact, Vec::new()))).map(drop),
        Verb::Stats => stats(
            &block_on(ask(&paths, &of(OutboxVerb::Stats, Vec::new())))?,
            json,
        ),
    }
}

fn of(verb: OutboxVerb, ids: Vec<String>) -> OutboxRequest {
    OutboxRequest {
        verb,
        ids,
        ..OutboxRequest::default()
    }
}

/// The answer of the Falco that runs, else of the journal itself.
async fn ask(paths: &Paths, request: &OutboxRequest) -> Result<OutboxAnswer, Failure> {
    let asked = Request::Outbox(request.clone());
    let answer = match client::ask(&paths.control_socket(), &asked, PATIENCE).await {
        Ok(Event::Outbox(answer)) => *answer,
        Ok(Event::Refused(refusal)) => return Err(Failure::from_refusal(refusal)),
        Ok(other) => {
            let error = format!("unexpected answer: {other:?}");
            return Err(Failure::new(Exit::Unknown, error));
        }
        Err(error) => {
            let failure = not_running(paths, &error);
            if failure.exit() != Exit::NotRunning {
                return Err(failure);
            }
            ask_disk(paths, request).await?
        }
    };
    match answer.error {
        Some(error) => Err(Failure::new(Exit::Failed, error)),
        None => Ok(answer),
    }
}

async fn ask_disk(paths: &Paths, request: &OutboxRequest) -> Result<OutboxAnswer, Failure> {
    let directory = paths.outbox();
    if !directory.exists() {
        let text = format!("there is no outbox in {}", paths.base().display());
        return Err(Failure::new(Exit::NotRunning, text));
    }
    let config = config::load(paths, &Given::new(config::variables()))?.right()?;
    let answer = offline::ask(&directory, &chain::journal(&config), request).await;
    answer.map_err(|error| match error {
        OfflineError::Open(error) => cannot_open(&error),
        OfflineError::Unrecorded(_) => Failure::of(Exit::Failed, &error),
    })
}

/// What it means that a journal cannot be opened.
pub(super) fn cannot_open(error: &OpenError) -> Failure {
    match error {
        OpenError::Locked { .. } => Failure::of(Exit::TimedOut, error).hint("try again"),
        OpenError::Insecure { .. } => Failure::of(Exit::Permission, error),
        OpenError::NewerVersion { .. } => {
            Failure::of(Exit::Config, error).hint("use that version, or a later one")
        }
        OpenError::Read { .. } => Failure::of(Exit::Disk, error),
        OpenError::Io { .. } | OpenError::Thread(_) => Failure::of(Exit::CannotCreate, error),
    }
}

/// One at a time: payloads are large.
async fn show(paths: &Paths, ids: Vec<String>, json: bool) -> Result<(), Failure> {
    let mut found = false;
    for id in ids {
        let answer = ask(paths, &of(OutboxVerb::Show, vec![id])).await?;
        found |= !answer.records.is_empty();
        print_all(&answer.records, json, shown)?;
    }
    if found {
        return Ok(());
    }
    let error = "there is no such effect in the outbox";
    Err(Failure::new(Exit::Failed, error))
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
        print_all(&answer.records, json, listed)?;
        if !answer.more || answer.records.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

fn print_all(
    records: &[OutboxRecord],
    json: bool,
    text: impl Fn(&OutboxRecord) -> String,
) -> Result<(), Failure> {
    for record in records {
        if json {
            let line = serde_json::to_string(record);
            output::line(&line.map_err(|e| Failure::of(Exit::Internal, &e))?)?;
        } else {
            output::line(&text(record))?;
        }
    }
    Ok(())
}

fn listed(record: &OutboxRecord) -> String {
    let head = format!(
        "{}  {}  {}",
        record.id,
        clock::utc(record.arrived_ms),
        record.lane
    );
    match &record.dead {
        None => head,
        Some(dead) => format!(
            "{head}  dead after {} attempts: {}: {}",
            dead.attempts, dead.class, dead.error
        ),
    }
}

fn shown(record: &OutboxRecord) -> String {
    let mut lines = vec![listed(record)];
    let mut say = |name: &str, value: &Option<String>| {
        lines.extend(value.iter().map(|value| format!("  {name:<9} {value}")));
    };
    say("what", &record.operation);
    say("route", &record.route);
    say("channel", &record.channel);
    say("name", &record.name);
    say("key", &record.key);
    say("payload", &record.payload);
    lines.join("\n")
}

fn changed(answer: &OutboxAnswer, json: bool, how: &str) -> Result<(), Failure> {
    let OutboxAnswer {
        changed, refused, ..
    } = answer;
    if json {
        output::line(&json!({"changed": changed, "refused": refused}).to_string())?;
    } else {
        output::line(&format!("{changed} {how}"))?;
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, refused.join("; ")))
}

fn stats(answer: &OutboxAnswer, json: bool) -> Result<(), Failure> {
    let Some(stats) = &answer.stats else {
        return Err(Failure::new(Exit::Unknown, "Falco said no numbers"));
    };
    if json {
        let line = serde_json::to_string(stats);
        return output::line(&line.map_err(|e| Failure::of(Exit::Internal, &e))?);
    }
    output::line(&summary(stats))
}

/// The outbox in one line, or two.
pub(super) fn summary(outbox: &OutboxStatus) -> String {
    let span = |ms| clock::span(Duration::from_millis(ms));
    let mega = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    let mut text = format!(
        "outbox    {} · {} kept in {} lanes, oldest {} · {} published, {} dead · {} of {} in {} segments",
        outbox.state,
        outbox.depth,
        outbox.lanes,
        span(outbox.oldest_age_ms),
        outbox.published,
        outbox.dead,
        mega(outbox.bytes),
        mega(outbox.bytes_max),
        outbox.segments,
    );
    if let Some(mean) = outbox.sync_us.checked_div(outbox.syncs) {
        let max = outbox.sync_max_us;
        _ = write!(text, " · sync {mean} µs, at most {max} µs");
    }
    if outbox.quarantined > 0 {
        let count = outbox.quarantined;
        _ = write!(
            text,
            "\n! outbox  {count} damaged ranges in outbox/quarantine"
        );
    }
    if let Some(error) = &outbox.last_error {
        _ = write!(text, "\n! outbox  {error}");
    }
    text
}

fn verify(paths: &Paths, json: bool) -> Result<(), Failure> {
    let directory = paths.outbox();
    if !directory.exists() {
        let text = format!("there is no outbox in {}", paths.base().display());
        return Err(Failure::new(Exit::NotRunning, text));
    }
    let report =
        journal::verify(&directory, &journal::Config::default()).map_err(|e| cannot_open(&e))?;
    if json {
        let line = serde_json::to_string(&report);
        output::line(&line.map_err(|e| Failure::of(Exit::Internal, &e))?)?;
    } else {
        output::line(&format!(
            "{} records in {} segments, {} bytes · {} kept, {} of them dead letters · {} lost, {} bytes torn",
            report.records,
            report.segments,
            report.bytes,
            report.live,
            report.dead,
            report.lost(),
            report.torn_bytes
        ))?;
    }
    if report.is_corrupt() {
        return Err(Failure::new(Exit::Failed, "the outbox is damaged").hint(
            "falco outbox verify --json says where; the bytes are kept in outbox/quarantine",
        ));
    }
    Ok(())
}
