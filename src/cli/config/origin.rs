//! Where an effective value came from.

use std::fmt;

/// Who decided a value; each goes before those behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// A line of the file.
    File { line: usize },
    /// Credentials: by a variable, a file, `falco login` or `falco logout`.
    Named(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::File { line } => write!(f, "falco.toml:{line}"),
            Self::Named(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// An effective value, as `config show` prints it; never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Row {
    /// `transport.publish_timeout`.
    pub(in super::super) key: String,
    /// As the file would have it.
    pub(in super::super) value: String,
    /// Who decided it.
    pub(in super::super) origin: Origin,
}
