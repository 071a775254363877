//! Whether a start may use the outbox, what it has lost, as its quarantine tells,
//! and whether it is where it was.

use super::finding::Finding;
use crate::counted::counted;
use crate::journal;
use crate::paths::Paths;
use crate::protocol::control::Status;
use crate::protocol::outbox::OutboxStatus;
use crate::report::Report;

/// Why a start would refuse it: as the start says it.
pub(super) fn unusable(paths: &Paths) -> Option<Finding> {
    let error = journal::examine(&paths.outbox()).err()?;
    let fix = "until that is put right, falco up fails";
    Some(Finding::fail("outbox", Report(&error).to_string()).fix(fix))
}

pub(super) fn losses(paths: &Paths) -> Option<Finding> {
    let directory = paths.outbox();
    let losses = journal::losses(&directory);
    let count = counted(losses, "damaged range");
    let path = directory.join("quarantine");
    let text = format!("{count} told of in {}", path.display());
    let fix =
        "falco outbox verify says what is wrong now; remove what is in there once it is dealt with";
    (0 < losses).then(|| Finding::warn("outbox", text).fix(fix))
}

/// Of an outbox that is in use.
pub(super) fn running(status: &Status) -> Vec<Finding> {
    let outbox = status.ingest.as_ref().and_then(|it| it.outbox.as_ref());
    let told = outbox.map(|outbox| [astray(outbox), missed(outbox)]);
    told.into_iter().flatten().flatten().collect()
}

fn missed(outbox: &OutboxStatus) -> Option<Finding> {
    let why = outbox.missed.clone()?;
    let fix = "this is said until it is back, or its mark is gone";
    Some(Finding::warn("outbox", why).fix(fix))
}

fn astray(outbox: &OutboxStatus) -> Option<Finding> {
    let why = outbox.why.clone().filter(|_| outbox.state == "astray")?;
    let fix = "effects are kept again as soon as it is at its path";
    Some(Finding::fail("outbox", why).fix(fix))
}
