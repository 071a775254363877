//! Why a child is not even tried to start.

use std::error::Error;
use std::io;

/// Why there is nothing to start.
#[derive(Debug, thiserror::Error)]
pub enum Unprepared {
    /// What it is made of is missing or wrong.
    #[error("{0}")]
    Wrong(String),
    /// What it is made of cannot be read.
    #[error("{what} {source}")]
    Unread {
        /// What a person calls it.
        what: &'static str,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There are no descriptors for it to inherit.
    #[error("failed to make its descriptors")]
    Descriptors(#[source] io::Error),
}

impl From<String> for Unprepared {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<&str> for Unprepared {
    fn from(why: &str) -> Self {
        Self::Wrong(why.to_owned())
    }
}
