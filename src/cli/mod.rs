//! The command line and the composition root: the only room that prints, reads
//! the environment and picks an exit code.

use std::process::ExitCode;

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
