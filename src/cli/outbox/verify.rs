//! `falco outbox verify`: reads every record, and says what is wrong where, and what
//! is missed.

use super::ask::{is_gone, is_there, no_outbox};
use super::{cannot_open, tell};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::counted::counted;
use crate::journal::{self, Class, Damage, Home, OpenError, Report};
use crate::paths::Paths;

/// Damaged ranges that people are told one by one.
const NAMED_MAX: usize = 20;

/// How often a journal is listed, from which the Falco that runs takes segments
/// away as they are published.
const LISTED_MAX: usize = 10;

pub(super) fn run(paths: &Paths, json: bool) -> Result<(), Failure> {
    let directory = paths.outbox();
    if !is_there(&directory)? {
        return Err(no_outbox(paths));
    }
    let config = journal::Config::default();
    let home = Home::marked_in(paths.run());
    let report = until_it_holds_still(|| journal::verify(&directory, &config, &home));
    let report = report.map_err(|e| cannot_open(&e))?;
    if json {
        tell::object(&report)?;
    } else {
        print(&report)?;
    }
    if report.is_corrupt() {
        let lost = counted(report.lost(), "record");
        let text = match report.lost() {
            0 => "the outbox is damaged".to_owned(),
            1 => format!("the outbox is damaged: {lost} is lost"),
            _ => format!("the outbox is damaged: {lost} are lost"),
        };
        return Err(Failure::new(Exit::Failed, text).hint(
            "the rest is good and is used; outbox/quarantine keeps the damaged bytes from the next start on",
        ));
    }
    if report.missed.is_some() {
        let text = "the outbox is good, and effects that were acknowledged may be missing";
        let hint = "what is missed is told above; `falco up` begins with what is there";
        return Err(Failure::new(Exit::Failed, text).hint(hint));
    }
    if 0 < report.quarantined {
        let count = counted(report.quarantined, "damaged range");
        let path = directory.join("quarantine");
        let text = format!("{} tells of {count} of an earlier time", path.display());
        let hint = "what is in the outbox now is good; the .json files say what was lost, the .bin files have the bytes; remove them once that is dealt with";
        return Err(Failure::new(Exit::Failed, text).hint(hint));
    }
    Ok(())
}

/// Reads again what was listed, and gone when its turn came.
fn until_it_holds_still<T>(mut read: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    for _ in 1..LISTED_MAX {
        match read() {
            Err(error) if is_gone(&error) => {}
            done => return done,
        }
    }
    read()
}

fn print(report: &Report) -> Result<(), Failure> {
    output::line(&format!(
        "{} in {}, {} · {} kept, {} of them dead letters · {} lost, {} torn",
        counted(report.records, "record"),
        counted(report.segments, "segment"),
        counted(report.bytes, "byte"),
        report.live,
        report.dead,
        report.lost(),
        counted(report.torn_bytes, "byte")
    ))?;
    for name in &report.skipped {
        output::line(&format!(
            "! {} is not read: it has no segment's name, or is no plain file",
            output::visible(name)
        ))?;
    }
    for damage in report.damage.iter().take(NAMED_MAX) {
        output::line(&told(damage, report.had_seq))?;
    }
    let more = report.damage.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        output::line(&format!("… and {more} more; --json says all of them"))?;
    }
    let Some(missed) = &report.missed else {
        return Ok(());
    };
    output::line(&format!("! {}", output::visible(missed)))
}

/// One range, for people; the outbox had this record once, if it has lost some.
fn told(damage: &Damage, had: Option<u64>) -> String {
    let Damage { seg, off, len, .. } = damage;
    let what = match (damage.class, damage.missing) {
        (Class::Torn, _) if had.is_some_and(|had| damage.expected_q <= had) => {
            "cut off, and not by a crash: it had been on disk".to_owned()
        }
        // Without a mark somebody may have cut it, and nothing tells.
        (Class::Torn, _) => "torn off; if by a crash, nothing of it was promised".to_owned(),
        (Class::Stray, _) => "no record, and none is missing".to_owned(),
        (Class::Corrupt, Some((first, last))) if first == last => {
            format!("record {first} is lost")
        }
        (Class::Corrupt, Some((first, last))) => format!("records {first} to {last} are lost"),
        (Class::Corrupt, None) if *len == 0 && damage.next_q.is_none() => {
            "it is empty, and no crash leaves it so; what it held is lost".to_owned()
        }
        (Class::Corrupt, None) if damage.next_q.is_none() => {
            "its headers were on disk and cannot be read; what it held is lost".to_owned()
        }
        (Class::Corrupt, None) => "it does not follow on the one before".to_owned(),
    };
    let bytes = counted(*len, "byte");
    format!("! {seg} at byte {off}, {bytes}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn failed(kind: io::ErrorKind) -> OpenError {
        OpenError::Io {
            doing: "open journal segment",
            path: "1.seg".into(),
            source: kind.into(),
        }
    }

    #[test]
    fn a_segment_that_is_gone_is_no_damage_and_all_is_listed_again_so_often_only() {
        let mut reads = 0;
        let verified = until_it_holds_still(|| {
            reads += 1;
            if reads < 3 {
                Err(failed(io::ErrorKind::NotFound))
            } else {
                Ok(())
            }
        });
        assert!(verified.is_ok() && reads == 3);

        for (kind, expected) in [
            (io::ErrorKind::NotFound, LISTED_MAX),
            (io::ErrorKind::Other, 1),
        ] {
            let mut reads = 0;
            let verified = until_it_holds_still(|| {
                reads += 1;
                Err::<(), _>(failed(kind))
            });
            assert!(verified.is_err() && reads == expected);
        }
    }
}
