//! How far back a log or a journal is printed, and whether what comes is, too.

use super::exit::{Exit, Failure};
use super::moment::Local;
use crate::clock;

/// What is printed from before, unless it is asked for by time.
const COUNT: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Past {
    /// Go on printing what comes
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How many from before [default: 200, or all with --since]
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// Only from then on: 10m, 09:14 or an RFC 3339 moment
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

impl Past {
    /// How many are printed from before.
    pub(super) fn count(&self) -> usize {
        let everything = self.since.as_ref().map_or(COUNT, |_| usize::MAX);
        self.lines.unwrap_or(everything)
    }

    /// The moment it begins at, as the logs write it.
    pub(super) fn since(&self, local: Local) -> Result<Option<String>, Failure> {
        let Some(text) = &self.since else {
            return Ok(None);
        };
        let ms = local.since(text, clock::now_ms());
        let ms = ms.map_err(|error| Failure::new(Exit::Usage, format!("--since: {error}")))?;
        Ok(Some(clock::utc(ms)))
    }
}
