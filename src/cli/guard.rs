//! `falco __guard -- PROGRAM ARGS…`: becomes that program, with a guard beside it.
//!
//! Prints and exits only if it cannot: as a shell does, with 127 for a program
//! that is not there and 126 for one that cannot be run, which is not tried
//! again, and with 75 for what may pass.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::output;
use crate::process::{guard, inherited};
use crate::report::Report;

const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;
const TRY_AGAIN: u8 = 75;
const USAGE: u8 = 2;

/// The command to be guarded, if that is what `args` ask for.
///
/// Before anything is parsed or changed: the program is to find this process as
/// it was started.
pub(super) fn asked(args: &[OsString]) -> Option<&[OsString]> {
    match args {
        [_, verb, dashes, command @ ..] if verb == guard::VERB && dashes == "--" => Some(command),
        _ => None,
    }
}

/// Returns only if the program cannot be run.
pub(super) fn run(command: &[OsString]) -> ExitCode {
    let (Some((program, args)), Some(lifeline)) =
        (command.split_first(), inherited::take_lifeline())
    else {
        return fail(USAGE, "the guard is started by falco up alone");
    };
    if let Err(error) = guard::stand(lifeline) {
        return fail(TRY_AGAIN, &format!("no guard: {}", Report(&error)));
    }
    let error = Command::new(program).args(args).exec();
    let program = program.to_string_lossy();
    fail(code(&error), &format!("failed to run {program}: {error}"))
}

fn code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        io::ErrorKind::PermissionDenied => NOT_RUNNABLE,
        _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => NOT_RUNNABLE,
        _ => TRY_AGAIN,
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    output::message(&format!("falco: {why}"));
    code.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_verb_with_a_command_behind_dashes_is_a_guard() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        let line = words("falco __guard -- sh -c true");
        assert_eq!(asked(&line).unwrap(), words("sh -c true"));
        assert!(asked(&words("falco __guard sh")).is_none());
        assert!(asked(&words("falco up -- __guard")).is_none());
    }

    #[test]
    fn what_cannot_heal_has_a_code_that_is_not_tried_again() {
        let said = |errno| code(&io::Error::from_raw_os_error(errno));
        assert_eq!(said(nix::libc::ENOENT), NOT_FOUND);
        assert_eq!(said(nix::libc::EACCES), NOT_RUNNABLE);
        assert_eq!(said(nix::libc::ENOEXEC), NOT_RUNNABLE);
        assert_eq!(said(nix::libc::EAGAIN), TRY_AGAIN);
    }
}
