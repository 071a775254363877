//! What an outbox has lost, as its quarantine tells.

use super::finding::Finding;
use crate::counted::counted;
use crate::journal;
use crate::paths::Paths;

pub(super) fn examine(paths: &Paths) -> Option<Finding> {
    let directory = paths.outbox();
    let losses = journal::losses(&directory);
    let count = counted(losses, "damaged range");
    let path = directory.join("quarantine");
    let text = format!("{count} told of in {}", path.display());
    let fix =
        "falco outbox verify says what is wrong now; remove what is in there once it is dealt with";
    (0 < losses).then(|| Finding::warn("outbox", text).fix(fix))
}
