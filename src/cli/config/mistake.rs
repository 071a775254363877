//! What is wrong with the configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Place {
    /// In the file; both count from one.
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    /// In the environment.
    Variable(&'static str),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    /// As editors and compilers write it, so that a terminal can jump there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Something that is wrong, or that should be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Mistake {
    /// Where.
    pub(super) place: Place,
    /// The key it is about; empty where there is none.
    pub(super) key: String,
    /// What.
    pub(super) text: String,
}

impl Mistake {
    /// Those of the file as they stand in it, behind those of the environment.
    pub(super) fn order(&self) -> (usize, usize) {
        match self.place {
            Place::File { line, column, .. } => (line, column),
            Place::Variable(_) | Place::Flag(_) => (0, 0),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, text } = self;
        match key.as_str() {
            "" => write!(f, "{place}: {text}"),
            key => write!(f, "{place}: {key}: {text}"),
        }
    }
}
