//! What is done about what was found.

use std::io;

use super::super::quarantine;
use super::super::report::Class;
use super::super::storage::{Storage, StoredFile as _};
use super::Read;

/// What [`repair`] did, and could not do.
#[derive(Debug, Default)]
pub(in crate::journal) struct Repaired {
    /// Losses that the quarantine tells of, found now or before.
    pub(in crate::journal) quarantined: u64,
    /// What the disk refused.
    pub(in crate::journal) error: Option<io::Error>,
}

/// Keeps damaged bytes aside and cuts the torn end. What is left becomes durable
/// with the next segment.
///
/// A disk that refuses is no reason not to start: the same damage is found, and
/// the same repair tried, next time.
pub(in crate::journal) fn repair<S: Storage>(
    storage: &S,
    read: &mut Read,
    now_ms: u64,
) -> Repaired {
    let mut repaired = Repaired::default();
    let damage = &read.report.damage;
    let found = damage.iter().filter(|d| d.class == Class::Corrupt).count() as u64;
    let result = quarantine::keep_all(storage, damage, now_ms).and_then(|()| cut(storage, read));
    repaired.quarantined = match result {
        Ok(()) => quarantine::losses(storage),
        Err(_) => quarantine::losses(storage).max(found),
    };
    repaired.error = result.err();
    remove_unfinished(storage);
    repaired
}

fn cut<S: Storage>(storage: &S, read: &mut Read) -> io::Result<()> {
    remove_unreadable(storage, read)?;
    let (Some(cut), Some(last)) = (read.cut.take(), read.segments.last_mut()) else {
        return Ok(());
    };
    storage.open_to_change(&last.name())?.truncate(cut)?;
    last.bytes = cut;
    Ok(())
}

/// Not even a header of theirs is whole, and the next segment may need a name
/// that one of them has.
fn remove_unreadable<S: Storage>(storage: &S, read: &mut Read) -> io::Result<()> {
    if read.unreadable == 0 {
        return Ok(());
    }
    while let Some(last) = read.segments.last().filter(|_| 0 < read.unreadable) {
        storage.remove(&last.name())?;
        read.segments.pop();
        read.unreadable -= 1;
    }
    storage.sync_folder("")
}

/// Removes segments that were never begun; that they stay is harmless.
fn remove_unfinished<S: Storage>(storage: &S) {
    for file in storage.list("").unwrap_or_default() {
        if file.is_file && file.name.starts_with("next-") {
            _ = storage.remove(&file.name);
        }
    }
}
