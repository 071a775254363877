//! The records of a memo, byte for byte.
//!
//! ```text
//! record   0      4      8    9        17          33     35
//!          len    crc    kind at_ms    batch       count  count entries
//!          u32    u32    u8   i64      16 bytes    u16    of 32 bytes: effect id, key
//! ```
//!
//! Integers are little-endian; `len` counts what is behind it, `crc` is the
//! CRC-32C of what is behind itself. Kind 1 says that a batch was sent, and is
//! written before its first byte is; kind 2, without entries, that it was
//! accepted, and is written before a daemon is told.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Batch, Entry};
use crate::clock::BootTime;
use crate::protocol::id::EffectId;

const SENT: u8 = 1;
const ACCEPTED: u8 = 2;

/// `len` and `crc`.
const HEAD_BYTES: usize = 8;

/// Kind, time, batch and count.
const FIXED_BYTES: usize = 27;

const ENTRY_BYTES: usize = 32;

pub(super) fn sent(base: Uuid, at: BootTime, entries: &[Entry]) -> Vec<u8> {
    record(SENT, base, at, entries)
}

pub(super) fn accepted(base: Uuid, at: BootTime) -> Vec<u8> {
    record(ACCEPTED, base, at, &[])
}

fn record(kind: u8, base: Uuid, at: BootTime, entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(FIXED_BYTES + entries.len() * ENTRY_BYTES);
    body.push(kind);
    body.extend(at.to_ms().to_le_bytes());
    body.extend(base.as_bytes());
    body.extend(
        u16::try_from(entries.len())
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    for entry in entries {
        body.extend(entry.id.as_bytes());
        body.extend(entry.key.as_bytes());
    }
    let len = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(HEAD_BYTES + body.len());
    record.extend(len.to_le_bytes());
    record.extend(crc32c::crc32c(&body).to_le_bytes());
    record.append(&mut body);
    record
}

/// What files tell of, in their order.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub batches: Vec<(Uuid, Batch)>,
    /// Where each of them stands: the files may name a hundred thousand.
    places: HashMap<Uuid, usize>,
}

impl Noted {
    /// Adds the batches that `bytes` tell of; stops at the first damage.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((body, rest)) = next(bytes) {
            bytes = rest;
            let Some((kind, at, name, entries)) = parse(body) else {
                return;
            };
            match (kind, self.places.get(&name)) {
                (ACCEPTED, Some(&place)) => self.batches[place].1.is_accepted = true,
                (SENT, None) => {
                    self.places.insert(name, self.batches.len());
                    let batch = Batch {
                        at,
                        entries,
                        is_accepted: false,
                    };
                    self.batches.push((name, batch));
                }
                _ => {}
            }
        }
    }
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (record, rest) = rest.split_at_checked(len)?;
    let (crc, body) = record.split_first_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some((body, rest))
}

fn parse(body: &[u8]) -> Option<(u8, BootTime, Uuid, Vec<Entry>)> {
    let (&kind, rest) = body.split_first()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (base, rest) = rest.split_first_chunk::<16>()?;
    let (_, rest) = rest.split_first_chunk::<2>()?;
    let entries = rest.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
        let (id, key) = entry.split_first_chunk::<16>()?;
        Some(Entry {
            id: EffectId::from_bytes(*id),
            key: Uuid::from_slice(key).ok()?,
        })
    });
    let at = BootTime::from_ms(i64::from_le_bytes(*at));
    Some((kind, at, Uuid::from_bytes(*base), entries.collect()))
}
