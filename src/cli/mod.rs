//! The command line and the composition root: the only room that prints, reads
//! the environment and picks an exit code.
//!
//! One binary, many names: what runs is decided by the name it was called by
//! and by its first argument, see `role`. One verb is one file, with its
//! arguments and its `run`.

// A verb owns its arguments, whether it keeps them or not.
#![allow(clippy::needless_pass_by_value)]

mod above;
mod chain;
mod completions;
mod config;
mod config_verb;
mod credentials;
mod daemon;
mod daemon_ably;
mod doctor;
mod emit;
mod emulator;
mod env;
mod env_file;
mod events;
mod exit;
mod follow;
#[cfg(fuzzing)]
pub mod fuzz;
mod given_file;
mod guard;
mod holder;
mod identity;
mod lane;
mod login;
mod logs;
mod man;
mod metrics;
mod moment;
mod outbox;
mod output;
mod past;
mod program;
mod progress;
mod prompt;
mod reload;
mod restart;
mod role;
mod runtime;
mod serve;
mod service;
mod settings;
mod shell;
mod signals;
mod status;
mod stop;
mod tail;
mod typed;
mod up;
mod upkeep;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::{
    self,
    inherited::{self, Inherited},
};
use exit::{Exit, Failure};
use role::Role;

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(command) = guard::asked(&args) {
        return guard::run(command);
    }
    // First of all: they change the process and its environment, which only one
    // with one thread may.
    process::settle();
    let inherited = inherited::take();
    output::report_panics_in_one_line();
    #[cfg(feature = "failpoints")]
    if let Ok(spec) = std::env::var("FALCO_FAILPOINT") {
        crate::failpoint::arm(&spec);
    }
    let result = dispatch(args, inherited);
    let code = match result {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => failure.report(),
    };
    output::finish();
    code
}

fn dispatch(args: Vec<OsString>, inherited: Inherited) -> Result<(), Failure> {
    match role::of(&args) {
        Role::Verbs => run(parse::<Cli>(args)?.command, inherited),
        Role::Serve => serve::run(parse(args)?, inherited).map_err(Failure::of_a_predecessor),
        // A supervisor of ours is told what starting it again would not mend.
        Role::DaemonAbly if inherited.ready.is_some() => daemon_ably::run(parse(args)?, inherited),
        Role::DaemonAbly => {
            daemon_ably::run(parse(args)?, inherited).map_err(Failure::of_a_predecessor)
        }
        Role::Nagato => Err(
            Failure::new(Exit::Usage, "nagato is not part of this build")
                .hint("inbound commands need the nagato program; set NAGATO_BINARY to it"),
        ),
    }
}

fn run(command: Command, inherited: Inherited) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(args, inherited),
        Command::Stop(args) => stop::run(args),
        Command::Restart(args) => restart::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Status(args) => status::run(args),
        Command::Logs(args) => logs::run(args),
        Command::Events(args) => events::run(args),
        Command::Metrics(args) => metrics::run(args),
        Command::Outbox(args) => outbox::run(args),
        Command::Lane(args) => lane::run(args),
        Command::Emit(args) => emit::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Emulator(args) => emulator::run(args, inherited),
        Command::Login(args) => login::run(args),
        Command::Logout(args) => login::logout(args),
        Command::Config(args) => config_verb::run(args),
        Command::Env(args) => env::run(args),
        Command::Service(args) => service::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Version(args) => version::run(args),
        Command::Daemon(args) => daemon::run(args, inherited),
    }
}

/// Parses `args`; help and version are printed here and are no failure.
fn parse<P: Parser>(args: Vec<OsString>) -> Result<P, Failure> {
    P::try_parse_from(args).map_err(|error| match error.print() {
        _ if error.use_stderr() => Failure::already_printed(Exit::Usage),
        Ok(()) => Failure::already_printed(Exit::Ok),
        Err(error) => Failure::output(&error),
    })
}

/// The local transport chain of a local-first daemon.
///
/// Brings up, supervises and is the chain between a daemon and Ably:
/// daemon → falco.sock → daemon-ably → Ably, or a built-in emulator when no
/// Ably credentials are configured.
#[derive(Debug, Parser)]
#[command(
    name = "falco",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "First steps:
  falco up                                bring the chain up
  falco tail session:demo:conversation    watch a channel (another terminal)
  falco emit --channel session:demo:conversation --event hello --payload '{}'
                                          send a side effect, print its ack
  falco status                            what runs, and how it is
  falco stop                              stop everything")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the chain up and return when every part answers
    Up(up::Args),
    /// Stop the chain, last part first, and wait until it is gone
    #[command(visible_alias = "down")]
    Stop(stop::Args),
    /// Restart the whole chain, or some of its parts, with the configuration it has
    Restart(restart::Args),
    /// Read the configuration anew and do what changed in it
    Reload(reload::Args),
    /// Say what runs and how it is (exit 0 ready, 1 degraded, 3 not running, 4 unknown)
    Status(status::Args),
    /// Print the logs of the chain
    Logs(logs::Args),
    /// Print what happened to the chain: starts, ends, signals, who asked
    Events(events::Args),
    /// Print the numbers of `status` as Prometheus reads them
    Metrics(metrics::Args),
    /// See and mend what is kept on disk until it is published
    Outbox(outbox::Args),
    /// See the lanes that are parked, and let them go on
    Lane(lane::Args),
    /// Send side effects to Falco and print their acks
    Emit(emit::Args),
    /// Subscribe to channels and print messages as they come
    Tail(tail::Args),
    /// Run the local Ably emulator
    Emulator(emulator::Args),
    /// Log in to Ably; the chain follows by itself
    Login(login::Args),
    /// Log out: nothing is published any more
    Logout(login::LogoutArgs),
    /// Check the configuration, or show what it comes to
    Config(config_verb::Args),
    /// Print where the instance is, as variables for a shell
    Env(env::Args),
    /// Install the chain as a service of systemd or launchd
    Service(service::Args),
    /// Look for everything that can be wrong, and say what to do (exit 1 if something does not work)
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one for every verb
    Man(man::Args),
    /// Print the version
    Version(version::Args),
    /// The detached supervisor; `up` starts it
    #[command(name = "__daemon", hide = true)]
    Daemon(daemon::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        serve::Args::command().debug_assert();
        daemon_ably::Args::command().debug_assert();
    }
}
