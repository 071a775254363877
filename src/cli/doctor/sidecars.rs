//! Whether the programs and files that sidecars name are there.

use super::finding::Finding;
use crate::cli::config::{Mistake, Outside};

const NAME: &str = "sidecars";

/// One finding for each thing that is wrong; nothing where there are none.
pub(super) fn examine(outside: &Outside) -> Vec<Finding> {
    let found = outside.examine();
    let fix = "mend it, then `falco config check`";
    let wrong = |mistake: &Mistake| Finding::fail(NAME, mistake.to_string()).fix(fix);
    let odd = |warning: &Mistake| Finding::warn(NAME, warning.to_string());
    let wrong = found.mistakes.iter().map(wrong);
    let findings: Vec<_> = wrong.chain(found.warnings.iter().map(odd)).collect();
    match outside.count() {
        0 => findings,
        count if findings.is_empty() => {
            let text = format!("{count}, and what they need is there");
            vec![Finding::ok(NAME, text)]
        }
        _ => findings,
    }
}
