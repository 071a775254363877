//! What is done about what was found.

use std::io;

use super::super::quarantine;
use super::super::storage::{QUARANTINE, Storage, StoredFile as _};
use super::Read;

/// What [`repair`] did, and could not do.
#[derive(Debug, Default)]
pub(in crate::journal) struct Repaired {
    /// Losses that the quarantine tells of, found now or before, or would.
    pub(in crate::journal) quarantined: u64,
    /// Those of which it does not tell, for the disk did not take that.
    pub(in crate::journal) untold: u64,
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
    let unkept = quarantine::keep_all(storage, &read.report.damage, now_ms);
    repaired.untold = unkept.losses;
    repaired.error = match unkept.error {
        None => cut(storage, read).err(),
        Some(error) => {
            let moved = move_unreadable(storage, read, now_ms);
            repaired.untold = unkept.losses.saturating_sub(moved);
            Some(error)
        }
    };
    for segment in &mut read.segments {
        segment.is_unkept = unkept.segments.contains(&*segment.name());
    }
    repaired.quarantined = quarantine::losses_or_one(storage) + repaired.untold;
    remove_unfinished(storage);
    repaired
}

/// Moves aside what cannot be read and could not be copied; how many that were.
/// What stays has its name, and the next segment gets another.
fn move_unreadable<S: Storage>(storage: &S, read: &mut Read, now_ms: u64) -> u64 {
    let mut moved = 0;
    while let Some(last) = read.segments.last().filter(|_| 0 < read.unreadable) {
        if quarantine::take_in(storage, &last.name(), now_ms).is_err() {
            break;
        }
        read.segments.pop();
        read.unreadable -= 1;
        moved += 1;
    }
    if 0 < moved {
        // The next segment syncs its folder in any case.
        _ = storage.sync_folder(QUARANTINE);
    }
    moved
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
