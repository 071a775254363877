//! Effects read back.

use std::io;

use tracing::error;

use super::super::super::entry::{ReadBack, Stored};
use super::super::super::error::Unreadable;
use super::super::super::record::{self, Payload, Salt};
use super::super::super::scan::{self, OlderFormat};
use super::super::super::storage::{Storage, read_exact};
use super::Core;
use crate::protocol::id::EffectId;
use crate::report::Report;

impl<S: Storage> Core<S> {
    pub(in crate::journal) fn read(&self, ids: &[EffectId]) -> Vec<ReadBack> {
        ids.iter().map(|id| self.read_one(*id)).collect()
    }

    fn read_one(&self, id: EffectId) -> ReadBack {
        let Some((place, segment)) = self.index.find(id) else {
            return Ok(None);
        };
        let name = segment.name();
        let (offset, length) = (u64::from(place.offset), place.length as usize);
        let line = match (self.storage.open(&name), self.left_open(segment.id)) {
            // Its name is gone, its bytes are not.
            (Err(error), Some(file)) if error.kind() == io::ErrorKind::NotFound => {
                read_exact(file, offset, length)
            }
            (file, _) => file.and_then(|file| read_exact(&file, offset, length)),
        };
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                error!(effect_id = %id, segment = %name, error = %Report(&error), "An effect cannot be read back.");
                return if is_loss(&error) {
                    Ok(None)
                } else {
                    Err(Unreadable)
                };
            }
        };
        let stored = stored(id, &line, Salt::new(segment.salt), self.older);
        if stored.is_none() && self.unsynced.opens(id) {
            // A failed sync may have lost it on disk; it is written again.
            return Err(Unreadable);
        }
        if stored.is_none() {
            error!(effect_id = %id, segment = %name, offset = place.offset, "An effect's record is damaged.");
        }
        Ok(stored)
    }
}

/// The effect in `line`, if that is its record.
pub(in crate::journal) fn stored(
    id: EffectId,
    line: &[u8],
    salt: Salt,
    older: &[OlderFormat],
) -> Option<Stored> {
    let (line, frame) = scan::current(line, salt, older)?;
    let record = record::parse(&line, &frame)?;
    match record.payload {
        Payload::Effect(effect) if frame.id == id.as_uuid() => {
            let effect = effect.to_effect(id, record.t)?;
            Some(Stored { effect })
        }
        _ => None,
    }
}

/// Whether the bytes are gone; any other error may pass.
fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | UnexpectedEof)
}
