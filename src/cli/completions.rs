//! `falco completions SHELL`: a completion script on standard output.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::exit::Failure;
use super::{Cli, output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell it is for
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut for_people(), "falco", &mut script);
    output::bytes(&script)
}

/// The command line without what is hidden: completions know no hidden verbs.
fn for_people() -> Command {
    let whole = Cli::command();
    let visible = whole.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("falco")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments())
        .subcommands(visible)
}
