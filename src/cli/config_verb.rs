//! `falco config check|show`: what the configuration says, before it counts.

use clap::Subcommand;
use serde::Serialize;

use super::chain::beside;
use super::config::{self, Config, Loaded, Origin, Outside, Row};
use super::credentials::{Choice, Places};
use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::output;
use super::settings::Instance;
use crate::paths::Paths;
use crate::process::spawn::Spawner;

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
        What::Check(args) => {
            let paths = args.instance.paths()?;
            let mut loaded = config::load(&paths, &args.setup.given())?;
            let credentials = add_credentials(&paths, &mut loaded);
            look_outside(&paths, &mut loaded);
            tell(&loaded);
            match credentials {
                // Whatever is wrong with them, the configuration is wrong besides.
                Err(failure) if !loaded.mistakes.is_empty() => Err(failure.with_exit(Exit::Config)),
                Err(failure) => Err(failure),
                Ok(()) => verdict(&loaded),
            }
        }
        What::Show(args) => {
            let paths = args.instance.paths()?;
            let mut loaded = config::load(&paths, &args.setup.given())?;
            add_credentials(&paths, &mut loaded)?;
            show(&args, &loaded)
        }
    }
}

/// Adds who gave credentials, where nothing else is wrong yet.
fn add_credentials(paths: &Paths, loaded: &mut Loaded) -> Result<(), Failure> {
    if loaded.mistakes.is_empty() {
        loaded.rows.push(credentials(paths, &loaded.config)?);
    }
    Ok(())
}

/// Adds what is wrong with the programs and files that are named.
fn look_outside(paths: &Paths, loaded: &mut Loaded) {
    let outside = Outside::of(loaded, paths.base(), beside(), config::variables());
    let found = outside.examine();
    loaded.mistakes.extend(outside.examine_transport());
    loaded.mistakes.extend(found.mistakes);
    loaded.warnings.extend(found.warnings);
}

/// That there are credentials, and who gave them; never what they are.
fn credentials(paths: &Paths, config: &Config) -> Result<Row, Failure> {
    let spawner =
        Spawner::start().map_err(|e| Failure::to(Exit::Internal, "start a thread", &e))?;
    let places = Places {
        variables: &config::variables(),
        stored: &paths.credentials_file(),
        files: &config.credentials,
        spawner: &spawner,
        directory: paths.base(),
    };
    let (value, origin) = match places.choose()? {
        Choice::Ably(chosen) => (format!("({}, set)", chosen.how), Origin::Named(chosen.from)),
        Choice::LoggedOut => (
            "(none)".to_owned(),
            Origin::Named("falco logout".to_owned()),
        ),
        Choice::Nobody => ("(none)".to_owned(), Origin::Default),
    };
    Ok(Row {
        key: "credentials".to_owned(),
        value,
        origin,
    })
}

/// Says all that is wrong.
fn tell(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::message(&format!("warning: {warning}"));
    }
    for mistake in &loaded.mistakes {
        output::message(&format!("error: {mistake}"));
    }
}

fn verdict(loaded: &Loaded) -> Result<(), Failure> {
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
        tell(loaded);
        return verdict(loaded);
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
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl<'a> Shown<'a> {
    fn of(row: &'a Row) -> Self {
        let (origin, name, line) = match &row.origin {
            Origin::Flag(name) => ("flag", Some(*name), None),
            Origin::Variable(name) => ("environment", Some(*name), None),
            Origin::File { line } => ("file", None, Some(*line)),
            Origin::Named(name) => ("credentials", Some(name.as_str()), None),
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
