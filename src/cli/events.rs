//! `falco events`: what happened to the chain, from its journal; also when
//! nothing runs.
//!
//! ```text
//! 09:15:40.002 transport ended: signal SEGV after 97 s (crash), life 3
//! 09:15:40.003 transport backoff, again in 200 ms
//! 09:16:02.120 falco     asked to stop by pid 4121 (uid 1000)
//! ```

mod last;
mod tell;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::config;
use super::exit::{Exit, Failure};
use super::logs::files::Follower;
use super::moment::Local;
use super::output;
use super::past::Past;
use super::settings::Instance;
use super::typed;
use crate::paths::Paths;
use crate::protocol::life::Entry;
pub(super) use last::LastEnd;
use tell::tell;

/// How often the journal is looked at with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// What events of no part are listed under.
const FALCO: &str = "falco";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  falco events -f               what happens, as it happens
  falco events --since 1h       the last hour
  falco events transport -n 20  the last of one part")]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The parts whose events are wanted, or falco for what is of none [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    past: Past,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let local = Local::new();
    let paths = args.instance.paths()?;
    let path = paths.events();
    match path.metadata() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let exit = Exit::of_call(&error, Exit::Failed);
            let error = format!("failed to read {}: {error}", path.display());
            return Err(Failure::new(exit, error));
        }
        Err(_) if !args.past.follow => {
            let error = format!("there is no journal {}", path.display());
            return Err(Failure::new(Exit::Failed, error)
                .hint(format!("{} begins one", typed::falco(&paths, "up"))));
        }
        _ => {}
    }
    check(&args.names, &paths, &path)?;
    let since = args.past.since(local)?;
    let count = args.past.count();
    let (mut journal, before) = Follower::open(&path);
    let is_late = |event: &Happened| since.as_ref().is_none_or(|since| *since <= event.entry.ts);
    let events = before.filter_map(|raw| Happened::read(&raw));
    let events = events.take_while(is_late).filter(|e| e.is_of(&args.names));
    let mut events: Vec<Happened> = events.take(count).collect();
    events.reverse();
    for event in events {
        event.print(args.past.json, local, &paths)?;
    }
    while args.past.follow && output::is_read_within(FOLLOW_PAUSE) {
        for raw in journal.new_lines() {
            if let Some(event) = Happened::read(&raw).filter(|e| e.is_of(&args.names)) {
                event.print(args.past.json, local, &paths)?;
            }
        }
    }
    Ok(())
}

/// Nothing ever happens to a part that there is not and was not.
fn check(names: &[String], paths: &Paths, journal: &Path) -> Result<(), Failure> {
    let mut parts: BTreeSet<String> = config::part_names(paths).into_iter().collect();
    if names.iter().all(|name| parts.contains(name)) {
        return Ok(());
    }
    // Those that are gone, too.
    let events = Follower::open(journal).1;
    let events = events.filter_map(|raw| Happened::read(&raw));
    parts.extend(events.map(|event| event.subject().to_owned()));
    let Some(unknown) = names.iter().find(|name| !parts.contains(*name)) else {
        return Ok(());
    };
    let all: Vec<_> = parts.iter().map(String::as_str).collect();
    let error = format!("there is no part {unknown:?}; there are {}", all.join(", "));
    Err(Failure::new(Exit::Usage, error))
}

/// An entry of the journal, as it is there and as it is understood.
struct Happened {
    raw: String,
    entry: Entry,
}

impl Happened {
    fn read(raw: &[u8]) -> Option<Self> {
        let raw = String::from_utf8(raw.to_vec()).ok()?;
        let entry = serde_json::from_str(&raw).ok()?;
        Some(Self { raw, entry })
    }

    fn subject(&self) -> &str {
        self.entry.life.part().unwrap_or(FALCO)
    }

    fn is_of(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| name == self.subject())
    }

    fn print(&self, json: bool, local: Local, paths: &Paths) -> Result<(), Failure> {
        if json {
            return output::line(&self.raw);
        }
        let time = local.time_of_day(&self.entry.ts);
        let text = typed::complete(&tell(&self.entry.life), paths);
        output::line(&format!("{time} {:<9} {text}", self.subject()))
    }
}
