//! What the files of a memo tell of.

use std::io::{self, Read};

use hashbrown::{HashMap, HashSet};
use uuid::Uuid;

use super::left::{Batch, Entry, Published};
use super::reading::Reading;
use super::record::Parsed;
use super::record::{ACCEPTED, DONE, PUBLISHED, SENT};
use super::record::{DONE_BYTES, ENTRY_BYTES, PUBLISHED_BYTES};
use crate::clock::BootTime;
use crate::delivery::Done;
use crate::protocol::id::EffectId;

/// All of it, in the order in which they first do.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub batches: Vec<(Uuid, Batch)>,
    /// When each was told, with it.
    pub done: Vec<(BootTime, Done)>,
    /// Of what an outbox keeps.
    pub published: HashSet<Published>,
    /// Where each batch stands: the files may name a hundred thousand.
    places: HashMap<Uuid, usize>,
}

impl Noted {
    /// Adds what a file tells of; stops at the first damage, and returns where
    /// that is. Of a file that cannot be read on, what could be is added.
    pub(super) fn read<R: Read>(&mut self, file: &mut Reading<R>) -> io::Result<usize> {
        while let Some(parsed) = file.next()? {
            self.add(&parsed);
        }
        Ok(file.end())
    }

    fn add(&mut self, parsed: &Parsed<'_>) {
        let Parsed { name, at, .. } = *parsed;
        match (parsed.kind, self.places.get(&name)) {
            (ACCEPTED, Some(&place)) => self.batches[place].1.is_accepted = true,
            // It went out again.
            (SENT, Some(&place)) if !self.batches[place].1.is_accepted => {
                self.batches[place].1.at = at;
            }
            (SENT, None) => {
                self.places.insert(name, self.batches.len());
                let entries = parsed.entries.chunks_exact(ENTRY_BYTES);
                let batch = Batch {
                    at,
                    entries: entries.filter_map(entry).collect(),
                    is_accepted: false,
                };
                self.batches.push((name, batch));
            }
            (DONE, _) => {
                let done = parsed.entries.chunks_exact(DONE_BYTES);
                self.done.extend(done.filter_map(|d| Some((at, one(d)?))));
            }
            (PUBLISHED, _) => {
                let published = parsed.entries.chunks_exact(PUBLISHED_BYTES);
                self.published.extend(published.filter_map(kept));
            }
            _ => {}
        }
    }
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let (id, key) = bytes.split_first_chunk::<16>()?;
    Some(Entry {
        id: EffectId::from_bytes(*id),
        key: Uuid::from_slice(key).ok()?,
    })
}

fn kept(bytes: &[u8]) -> Option<Published> {
    let (id, arrived_ms) = bytes.split_first_chunk::<16>()?;
    Some(Published {
        id: EffectId::from_bytes(*id),
        arrived_ms: u64::from_le_bytes(arrived_ms.try_into().ok()?),
    })
}

fn one(bytes: &[u8]) -> Option<Done> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (known_by, fingerprint) = rest.split_first_chunk::<16>()?;
    Some(Done {
        id: EffectId::from_bytes(*id),
        known_by: Uuid::from_bytes(*known_by),
        fingerprint: u64::from_le_bytes(fingerprint.try_into().ok()?),
    })
}
