//! Whether a start may use the outbox, and what it has lost: what its quarantine
//! tells of, and what only the chain that runs knows.

use super::finding::Finding;
use crate::counted::counted;
use crate::journal;
use crate::paths::Paths;
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

/// What the chain that runs counts, `known`, beyond what is told of there: the disk
/// did not take it.
pub(super) fn untold(paths: &Paths, known: u64) -> Option<Finding> {
    let directory = paths.outbox();
    let untold = known.saturating_sub(journal::losses(&directory));
    let count = counted(untold, "damaged range");
    let path = directory.join("quarantine");
    let text = format!(
        "the chain knows of {count} that nothing in {} tells of",
        path.display()
    );
    let fix = "if you have removed what told of it, look again in a minute; else see to its disk, then falco restart";
    (0 < untold).then(|| Finding::warn("outbox", text).fix(fix))
}
