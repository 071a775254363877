//! `falco man`: the manual, rendered from the command line itself.
//!
//! One page for the program, or with `--dir` one more for every verb, each with
//! the exit codes at its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::exit::{Exit, Failure, MEANINGS};
use super::{Cli, output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write falco.1 and a page for every verb into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut falco = Cli::command().disable_help_subcommand(true);
    falco.build();
    let Some(dir) = args.dir else {
        return output::bytes(&page(falco).map_err(|e| Failure::output(&e))?);
    };
    let written = write_all(&dir, falco);
    written.map_err(|(path, error)| {
        let error = format!("failed to write {}: {error}", path.display());
        Failure::new(Exit::CannotCreate, error)
    })
}

/// Writes the page of `command` and of all below it.
fn write_all(dir: &Path, command: Command) -> Result<(), (PathBuf, io::Error)> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = dir.join(format!("{name}.1"));
    let below: Vec<_> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .cloned()
        .collect();
    let made = fs::create_dir_all(dir).and_then(|()| fs::write(&path, page(command)?));
    made.map_err(|error| (path.clone(), error))?;
    output::message(&path.display().to_string());
    below
        .into_iter()
        .try_for_each(|command| write_all(dir, command))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let version = format!("falco {}", env!("CARGO_PKG_VERSION"));
    let examples = command.get_after_help().map(ToString::to_string);
    let has_verbs = command.has_subcommands();
    let man = Man::new(command).manual("falco").source(version);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_verbs {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = examples {
        as_it_stands("EXAMPLES", &text).to_writer(&mut page)?;
    }
    exit_status().to_writer(&mut page)?;
    Ok(page)
}

/// A section whose lines are kept.
fn as_it_stands(name: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [name]);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn exit_status() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (exit, meaning) in MEANINGS {
        roff.control("TP", []);
        roff.text([bold((*exit as u8).to_string())]);
        roff.text([roman(*meaning)]);
    }
    roff
}
