//! Which program the transport is, and what it says its version is.

use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::process::tool;
use crate::report::Report;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);

const NAME: &str = "transport";

/// `program` is another than ours.
pub(super) async fn examine(program: Option<&Path>) -> Finding {
    let Some(program) = program else {
        return Finding::ok(NAME, format!("our own, {}", env!("CARGO_PKG_VERSION")));
    };
    let place = program.display().to_string();
    match tool::run(&place, &["--version"], PATIENCE).await {
        Ok(said) if said.success => {
            let version = said.stdout.lines().next().unwrap_or("nothing").to_owned();
            Finding::ok(NAME, format!("{place} says {version}"))
        }
        Ok(said) => {
            let text = format!("{place} does not say its version: {}", said.stderr);
            Finding::warn(NAME, text.trim_end_matches(": "))
        }
        Err(error) => Finding::fail(NAME, Report(&error).to_string())
            .fix("mend DAEMON_ABLY_BINARY, or binary under [transport]"),
    }
}
