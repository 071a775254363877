//! Who owns the chain: the supervisor that runs, and the service that is
//! installed. And how it is, if it runs.

use std::time::Duration;

use super::finding::Finding;
use crate::cli::exit::Failure;
use crate::cli::service::{self, Place};
use crate::cli::{lane, output, status, typed};
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::{ChainState, LogStatus, Status, Trouble};

pub(super) async fn examine(paths: &Paths) -> Vec<Finding> {
    let (status, silent) = match status::ask_if_up(paths).await {
        Ok(status) => (status, None),
        Err(failure) => (None, Some(silent(paths, &failure))),
    };
    let mut found = vec![unit(paths, status.as_deref()).await];
    found.extend(silent);
    found.extend(linger(paths));
    if let Some(status) = &status {
        found.extend(running(paths, status));
    }
    found
}

/// A supervisor is there and does not say how it is.
fn silent(paths: &Paths, failure: &Failure) -> Finding {
    let (logs, stop) = (
        typed::falco(paths, "logs falco"),
        typed::falco(paths, "stop --now"),
    );
    Finding::fail("chain", failure.to_string()).fix(format!("{logs} may say why; {stop} ends it"))
}

async fn unit(paths: &Paths, status: Option<&Status>) -> Finding {
    let Some(place) = service::installed(paths) else {
        return Finding::ok("service", "not installed; no second owner");
    };
    let name = place.name();
    let standing = match place.standing().await {
        Ok(standing) => standing,
        Err(failure) => {
            let text = format!("{name} is installed, and its manager cannot be asked: {failure}");
            return Finding::warn("service", text).fix("log in as the user itself");
        }
    };
    match (standing.pid, status) {
        (service, Some(status)) if service != Some(status.pid) => {
            let text = format!(
                "{name} is installed, but pid {} was started by hand",
                status.pid
            );
            Finding::warn("service", text).fix(typed::stop_then_up(paths))
        }
        (_, None) if standing.activity == service::Activity::Failed => {
            Finding::fail("service", format!("{name} {}", standing.word)).fix(format!(
                "{} says why; {}",
                typed::falco(paths, "logs"),
                typed::falco(paths, "up")
            ))
        }
        _ if standing.outdated => Finding::warn(
            "service",
            format!("{name} was changed since systemd read it"),
        )
        .fix(place.verb_to_reread()),
        _ => Finding::ok("service", format!("{name} {}", standing.word)),
    }
}

fn linger(paths: &Paths) -> Option<Finding> {
    let place = service::installed(paths).filter(Place::is_of_login)?;
    let name = place.name();
    Some(if service::lingers() {
        Finding::ok(
            "linger",
            format!("on: {name} goes on after the last logout"),
        )
    } else {
        Finding::warn("linger", format!("off: {name} ends with your last login"))
            .fix("loginctl enable-linger")
    })
}

fn running(paths: &Paths, status: &Status) -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    let up = clock::span(Duration::from_millis(status.up_ms));
    let version = if status.version == own {
        Finding::ok(
            "version",
            format!("{own}; the chain runs the same, up {up}"),
        )
    } else {
        let text = format!("the chain runs {}, this is {own}", status.version);
        Finding::warn("version", text).fix(typed::stop_then_up(paths))
    };
    let mut found = vec![version, logs(&status.logs)];
    found.extend(troubles(paths, status));
    found.extend(lanes(paths, status));
    found
}

/// All for which `falco status` calls it degraded.
fn troubles(paths: &Paths, status: &Status) -> Vec<Finding> {
    let troubles = status.troubles();
    let mut found = Vec::new();
    if troubles.iter().all(|trouble| trouble.about != "parts") {
        let text = format!("all {} answer", status.parts.len());
        found.push(Finding::ok("parts", text));
    }
    if status.state == ChainState::Degraded && troubles.is_empty() {
        let text = "it was degraded a moment ago";
        let status = typed::falco(paths, "status");
        found.push(Finding::warn("chain", text).fix(format!("{status} says how it is")));
    }
    // Those are found on disk, also where nothing runs.
    let troubles = troubles.into_iter().filter(|t| t.about != "quarantine");
    found.extend(troubles.map(finding));
    found
}

/// Sessions that do not go on; the others do, so that the chain is well.
fn lanes(paths: &Paths, status: &Status) -> Vec<Finding> {
    let Some(ingest) = &status.ingest else {
        return Vec::new();
    };
    let stuck = lane::stuck(ingest, paths);
    let stuck = stuck.map(|(how, next)| Finding::warn("lane", how).fix(next));
    let parked = (0 < ingest.parked).then(|| {
        let list = typed::falco(paths, "lane list");
        let text = format!("{} parked", counted(ingest.parked, "lane"));
        Finding::warn("lanes", text).fix(format!("{list} says what each waits for"))
    });
    stuck.into_iter().chain(parked).collect()
}

fn finding(trouble: Trouble) -> Finding {
    let found = if trouble.is_failure {
        Finding::fail(trouble.about, output::visible(&trouble.text))
    } else {
        Finding::warn(trouble.about, output::visible(&trouble.text))
    };
    found.fix(trouble.next)
}

fn logs(logs: &LogStatus) -> Finding {
    let mega = |bytes: u64| bytes / 1_000_000;
    let text = format!(
        "{}/{} MB, {} dropped",
        mega(logs.bytes),
        mega(logs.cap),
        counted(logs.dropped, "line")
    );
    match &logs.trouble {
        Some(trouble) => Finding::fail("logs", format!("{text}; cannot be written: {trouble}"))
            .fix("make room on the disk"),
        None if logs.dropped > 0 => Finding::warn("logs", text),
        None => Finding::ok("logs", text),
    }
}
