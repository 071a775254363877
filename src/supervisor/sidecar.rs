//! What a sidecar is: the values a configuration is parsed into.
//!
//! Plain data without I/O or clock. Whoever has a [`SidecarSpec`] need not
//! check it again: names are names, durations are above zero, patterns
//! compile. What only all sidecars together can get wrong is found by
//! [`in_order`].

mod check;
mod order;
mod policy;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use check::{AliveWhen, Check, Exchange, LinePattern, Liveness, Readiness, ReadyWhen};
pub use order::{Tangle, in_order};
pub use policy::{Condition, RestartPolicy, RestartWhen, Scope, StopPolicy, StopSignal};

pub use crate::logfile::Limits as LogLimits;

/// A program that runs beside the built-in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarSpec {
    /// What it is called: in the log directory, on the command line, in `after`.
    pub name: SidecarName,
    /// The program: a path, relative to the base directory, or a bare name,
    /// looked for beside our own executable and then in `PATH`.
    pub command: String,
    /// Its arguments; none for `nagato` means those of the contract.
    pub args: Vec<String>,
    /// What its environment has beyond what every child gets.
    pub env: Env,
    /// More of it, `NAME=value` a line, read at every start; [`Self::env`] wins.
    pub env_file: Option<PathBuf>,
    /// Its working directory; the base directory unless said.
    pub cwd: Option<PathBuf>,
    /// Sidecars and built-in parts that must have been ready before it starts.
    ///
    /// One that is not there at all (the emulator, when there are credentials;
    /// a sidecar whose condition does not hold) is not waited for.
    pub after: Vec<SidecarName>,
    /// Whether the chain is not up without it.
    ///
    /// No, unless said: a chain is there to publish what daemons commit, and a
    /// program beside it that is broken would otherwise keep it from that at
    /// every boot, while the same failure an hour later would not. What comes
    /// `after` it may still require it.
    pub required: bool,
    /// When it counts as ready.
    pub readiness: Readiness,
    /// Whether and how it is asked later on.
    pub liveness: Option<Liveness>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// How large its log may get.
    pub log: LogLimits,
    /// When it is there at all.
    pub condition: Condition,
}

impl SidecarSpec {
    /// A sidecar of which nothing is said but its name and program.
    #[must_use]
    pub fn new(name: SidecarName, command: impl Into<String>) -> Self {
        Self {
            name,
            command: command.into(),
            args: Vec::new(),
            env: Env::default(),
            env_file: None,
            cwd: None,
            after: Vec::new(),
            required: false,
            readiness: Readiness::default(),
            liveness: None,
            restart: RestartPolicy::default(),
            stop: StopPolicy::default(),
            log: LogLimits::default(),
            condition: Condition::default(),
        }
    }
}

/// The name of a sidecar or a built-in part, safe in a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SidecarName(String);

impl SidecarName {
    /// The longest name.
    pub const BYTES_MAX: usize = 32;

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SidecarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no sidecar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or too much.
    #[error("a name has 1 to {} characters", SidecarName::BYTES_MAX)]
    Length,
    /// A character that a file's name should not have.
    #[error(
        "{0:?} cannot be in a name: lower-case letters, digits, `-` and `_` can, and a letter comes first"
    )]
    Character(char),
}

impl TryFrom<String> for SidecarName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        if name.is_empty() || Self::BYTES_MAX < name.len() {
            return Err(NameError::Length);
        }
        let fits = |(at, c): (usize, char)| {
            c.is_ascii_lowercase() || (0 < at && (c.is_ascii_digit() || matches!(c, '-' | '_')))
        };
        match name.char_indices().find(|&at| !fits(at)) {
            Some((_, c)) => Err(NameError::Character(c)),
            None => Ok(Self(name)),
        }
    }
}

/// Variables for a child; values may be secret, so `Debug` shows names only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Env(pub BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fit_for_a_file_and_a_command_line() {
        let name = |text: &str| SidecarName::try_from(text.to_owned());
        assert_eq!(name("nagato").unwrap().as_str(), "nagato");
        assert!(name("web-2_b").is_ok());
        assert_eq!(name(""), Err(NameError::Length));
        assert_eq!(name(&"x".repeat(33)), Err(NameError::Length));
        for (text, c) in [("../x", '.'), ("-x", '-'), ("Web", 'W'), ("a/b", '/')] {
            assert_eq!(name(text), Err(NameError::Character(c)));
        }
    }

    #[test]
    fn the_values_of_an_environment_are_not_shown() {
        let env = Env([("TOKEN".to_owned(), "hunter2".to_owned())].into());
        assert_eq!(format!("{env:?}"), r#"{"TOKEN"}"#);
    }
}
