//! `falco outbox verify`: reads every record, and says what is wrong where.

use super::ask::no_outbox;
use super::{cannot_open, tell};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::journal::{self, Class, Damage, Report};
use crate::paths::Paths;

/// Damaged ranges that people are told one by one.
const NAMED_MAX: usize = 20;

pub(super) fn run(paths: &Paths, json: bool) -> Result<(), Failure> {
    let directory = paths.outbox();
    if !directory.exists() {
        return Err(no_outbox(paths));
    }
    let report =
        journal::verify(&directory, &journal::Config::default()).map_err(|e| cannot_open(&e))?;
    if json {
        tell::object(&report)?;
    } else {
        print(&report)?;
    }
    if report.is_corrupt() {
        let text = format!("the outbox is damaged: {} records are lost", report.lost());
        return Err(Failure::new(Exit::Failed, text).hint(
            "the rest is good and is used; outbox/quarantine keeps the damaged bytes from the next start on",
        ));
    }
    Ok(())
}

fn print(report: &Report) -> Result<(), Failure> {
    output::line(&format!(
        "{} records in {} segments, {} bytes · {} kept, {} of them dead letters · {} lost, {} bytes torn",
        report.records,
        report.segments,
        report.bytes,
        report.live,
        report.dead,
        report.lost(),
        report.torn_bytes
    ))?;
    for damage in report.damage.iter().take(NAMED_MAX) {
        output::line(&told(damage))?;
    }
    match report.damage.len().saturating_sub(NAMED_MAX) {
        0 => Ok(()),
        more => output::line(&format!("… and {more} more; --json says all of them")),
    }
}

/// One range, for people.
fn told(damage: &Damage) -> String {
    let Damage { seg, off, len, .. } = damage;
    let what = match (damage.class, damage.missing) {
        (Class::Torn, _) => "torn off by a crash, nothing of it was promised".to_owned(),
        (Class::Stray, _) => "no record, and none is missing".to_owned(),
        (Class::Corrupt, Some((first, last))) if first == last => {
            format!("record {first} is lost")
        }
        (Class::Corrupt, Some((first, last))) => format!("records {first} to {last} are lost"),
        (Class::Corrupt, None) => "it does not follow on the one before".to_owned(),
    };
    format!("! {seg} at byte {off}, {len} bytes: {what}")
}
