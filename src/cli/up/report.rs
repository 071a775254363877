//! What `falco up` says once the chain is up, for people and for programs.

use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::progress::{self, Progress, seconds};
use crate::cli::service::Place;
use crate::cli::typed;
use crate::clock;
use crate::paths::Paths;
use crate::protocol::control::Summary;

/// How it is said.
pub(super) struct Report<'a> {
    pub(super) paths: &'a Paths,
    pub(super) progress: &'a Progress,
    /// On standard output, too, as one JSON object.
    pub(super) json: bool,
}

impl Report<'_> {
    /// It is ours, and detached.
    pub(super) fn launched(&self, summary: &Summary) -> Result<(), Failure> {
        let ready = seconds(summary.took_ms);
        let word = if summary.missing.is_empty() {
            "ready"
        } else {
            "up"
        };
        self.progress.say(&format!(
            "{word} in {ready} · detached as pid {}",
            summary.pid
        ));
        self.progress
            .say(&progress::how_to_try(self.paths, summary));
        self.json(summary)
    }

    /// It is our service's.
    pub(super) fn started(&self, service: &Place, summary: &Summary) -> Result<(), Failure> {
        let (ready, name) = (seconds(summary.took_ms), service.name());
        let pid = summary.pid;
        let line = format!("ready in {ready} · {name} as pid {pid}");
        self.progress.say(&line);
        self.json(summary)
    }

    /// It was up before.
    pub(super) fn running(&self, summary: &Summary) -> Result<(), Failure> {
        let Summary {
            pid,
            parts,
            parts_ready,
            ..
        } = summary;
        let up = clock::span(Duration::from_millis(summary.up_ms));
        self.progress.say(&format!(
            "falco is already running: pid {pid}, up {up}, {parts_ready}/{parts} ready"
        ));
        self.json(summary)
    }

    fn json(&self, summary: &Summary) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(summary);
        output::line(&text.map_err(|e| Failure::of(Exit::Internal, &e))?)
    }
}

/// A chain that is up without some parts is up, and not as it should be.
pub(super) fn complete(paths: &Paths, summary: &Summary) -> Result<(), Failure> {
    if summary.parts_ready == summary.parts {
        return Ok(());
    }
    let missing = summary.missing.iter();
    let missing: Vec<_> = missing.map(|m| format!("{} ({})", m.part, m.why)).collect();
    let error = match missing.join(", ") {
        // An older version does not say which.
        none if none.is_empty() => "falco is up, but not every part of it answers".to_owned(),
        names => format!("falco is up, but without {names}"),
    };
    let [status, logs, restart] =
        ["status", "logs", "restart PART"].map(|verb| typed::falco(paths, verb));
    Err(Failure::new(Exit::Failed, error).hint(format!(
        "{status} says how they are, {logs} says why; {restart} starts one again"
    )))
}
