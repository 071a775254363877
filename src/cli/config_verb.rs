//! `falco config check|show`: what the configuration says, before it counts.

use clap::Subcommand;
use serde::Serialize;

use super::config::{self, Loaded, Origin, Row};
use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::output;
use super::settings::Instance;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell every mistake, with file, line, column and key (exit 78 if there is one)
    Check(Check),
    /// Print the effective values
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
    /// Say where each value came from
    #[arg(long)]
    origin: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Check(args) => check(&load(&args.instance, &args.setup)?),
        What::Show(args) => show(&args, &load(&args.instance, &args.setup)?),
    }
}

fn load(instance: &Instance, setup: &Setup) -> Result<Loaded, Failure> {
    config::load(&instance.paths()?, &setup.given())
}

fn check(loaded: &Loaded) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        output::message(&format!("warning: {warning}"));
    }
    for mistake in &loaded.mistakes {
        output::message(&format!("error: {mistake}"));
    }
    if !loaded.mistakes.is_empty() {
        return Err(Failure::already_printed(Exit::Config));
    }
    output::line(&match &loaded.file {
        Some(path) => format!("{} is right", path.display()),
        None => "there is no falco.toml, and what else is set is right".to_owned(),
    })
}

fn show(args: &Show, loaded: &Loaded) -> Result<(), Failure> {
    if !loaded.mistakes.is_empty() {
        return check(loaded);
    }
    if args.json {
        let rows: Vec<_> = loaded.rows.iter().map(Shown::of).collect();
        let text = serde_json::to_string(&rows).map_err(|e| Failure::of(Exit::Internal, &e))?;
        return output::line(&text);
    }
    let widest = |text: fn(&Row) -> &str| loaded.rows.iter().map(|row| text(row).len()).max();
    let (key, value) = (widest(|row| &row.key), widest(|row| &row.value));
    let (key, value) = (key.unwrap_or(0), value.unwrap_or(0));
    for row in &loaded.rows {
        let origin = if args.origin {
            format!("  # {}", row.origin)
        } else {
            String::new()
        };
        let line = format!("{:key$} = {:value$}{origin}", row.key, row.value);
        output::line(line.trim_end())?;
    }
    Ok(())
}

/// A value as programs read it.
#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    value: &'a str,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl<'a> Shown<'a> {
    fn of(row: &'a Row) -> Self {
        let (origin, name, line) = match row.origin {
            Origin::Flag(name) => ("flag", Some(name), None),
            Origin::Variable(name) => ("environment", Some(name), None),
            Origin::File { line } => ("file", None, Some(line)),
            Origin::Default => ("default", None, None),
        };
        Self {
            key: &row.key,
            value: &row.value,
            origin,
            name,
            line,
        }
    }
}
