//! Whether a start may use the outbox, and what it has lost: what its quarantine
//! tells of.

use super::finding::Finding;
use crate::counted::counted;
use crate::journal;
use crate::paths::Paths;
use crate::report::Report;

/// Why a start would refuse it: as the start says it.
pub(super) fn unusable(paths: &Paths) -> Option<Finding> {
    let error = journal::examine(&paths.outbox()).err()?;
    let fix = "until that is put right, `falco up` fails";
    Some(Finding::fail("outbox", Report(&error).to_string()).fix(fix))
}

pub(super) fn losses(paths: &Paths) -> Option<Finding> {
    let directory = paths.outbox();
    let losses = journal::losses(&directory);
    let count = counted(losses, "damaged range");
    let path = directory.join("quarantine");
    let text = format!("{count} told of in {}", path.display());
    let fix = "`falco outbox verify` says what is wrong now; remove what is in there once it is dealt with";
    (0 < losses).then(|| Finding::warn("outbox", text).fix(fix))
}
