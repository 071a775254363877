//! The records of a memo, byte for byte.
//!
//! ```text
//! record   0      4      8    9        17          33     35
//!          len    crc    kind at_ms    name        count  count entries
//!          u32    u32    u8   i64      16 bytes    u16
//! ```
//!
//! Integers are little-endian; `len` counts what is behind it, `crc` is the
//! CRC-32C of what is behind itself.
//!
//! | kind | says | name | entries |
//! |---|---|---|---|
//! | 1 | a batch is about to be sent, perhaps again | the batch | 32 bytes each: effect id, key as it is listed |
//! | 2 | it was accepted; no daemon was told | the batch | |
//! | 3 | effects are published; no daemon was told | zeros | 40 bytes each: effect id, the UUID it is known by, fingerprint (u64) |
//! | 4 | a file begins | the file's number | |
//!
//! Kinds this program does not know are passed over, so an earlier program may
//! read what a later one wrote; it knows kinds 1 and 2. A file of its own has no
//! number, and counts as older than one that has.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Batch, Entry};
use crate::clock::BootTime;
use crate::delivery::Done;
use crate::protocol::id::EffectId;

const SENT: u8 = 1;
const ACCEPTED: u8 = 2;
const DONE: u8 = 3;
const BEGUN: u8 = 4;

/// `len` and `crc`.
const HEAD_BYTES: usize = 8;

/// Kind, time, name and count.
const FIXED_BYTES: usize = 27;

const ENTRY_BYTES: usize = 32;
const DONE_BYTES: usize = 40;

/// Effects that one record may tell of.
const COUNT_MAX: usize = u16::MAX as usize;

pub(super) fn sent(name: Uuid, at: BootTime, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let entries = entries.iter().map(|entry| (entry.id, entry.key));
    record(&mut out, (SENT, at, name), entries, |body, (id, key)| {
        body.extend_from_slice(id.as_bytes());
        body.extend_from_slice(key.as_bytes());
    });
    out
}

pub(super) fn accepted(out: &mut Vec<u8>, name: Uuid, at: BootTime) {
    record(out, (ACCEPTED, at, name), [0_u8; 0].iter(), |_, _| {});
}

pub(super) fn done(out: &mut Vec<u8>, at: BootTime, done: &[Done]) {
    for some in done.chunks(COUNT_MAX) {
        record(out, (DONE, at, Uuid::nil()), some.iter(), |body, done| {
            body.extend_from_slice(done.id.as_bytes());
            body.extend_from_slice(done.known_by.as_bytes());
            body.extend_from_slice(&done.fingerprint.to_le_bytes());
        });
    }
}

/// How the file with this number begins.
pub(super) fn begun(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let name = Uuid::from_u128(number.into());
    let head = (BEGUN, BootTime::default(), name);
    record(&mut out, head, [0_u8; 0].iter(), |_, _| {});
    out
}

/// The number of a file; 0 if it says none.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let first = next(bytes).and_then(|(body, _)| parse(body));
    match first {
        Some(Parsed {
            kind: BEGUN, name, ..
        }) => name.as_u64_pair().1,
        _ => 0,
    }
}

fn record<E>(
    out: &mut Vec<u8>,
    (kind, at, name): (u8, BootTime, Uuid),
    entries: impl ExactSizeIterator<Item = E>,
    mut write: impl FnMut(&mut Vec<u8>, E),
) {
    let start = out.len();
    let body = start + HEAD_BYTES;
    out.reserve(HEAD_BYTES + FIXED_BYTES + entries.len() * DONE_BYTES);
    out.resize(body, 0);
    out.push(kind);
    out.extend(at.to_ms().to_le_bytes());
    out.extend(name.as_bytes());
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    out.extend(count.to_le_bytes());
    for entry in entries {
        write(out, entry);
    }
    let len = u32::try_from(4 + out.len() - body).unwrap_or(u32::MAX);
    let crc = crc32c::crc32c(&out[body..]);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..body].copy_from_slice(&crc.to_le_bytes());
}

/// What files tell of, in the order in which they first do.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub batches: Vec<(Uuid, Batch)>,
    /// When each was told, with it.
    pub done: Vec<(BootTime, Done)>,
    /// Where each batch stands: the files may name a hundred thousand.
    places: HashMap<Uuid, usize>,
}

impl Noted {
    /// Adds what `bytes` tell of; stops at the first damage, and returns where
    /// that is.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while let Some((body, rest)) = next(left)
            && let Some(parsed) = parse(body)
        {
            left = rest;
            self.add(&parsed);
        }
        bytes.len() - left.len()
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

fn one(bytes: &[u8]) -> Option<Done> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (known_by, fingerprint) = rest.split_first_chunk::<16>()?;
    Some(Done {
        id: EffectId::from_bytes(*id),
        known_by: Uuid::from_bytes(*known_by),
        fingerprint: u64::from_le_bytes(fingerprint.try_into().ok()?),
    })
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (record, rest) = rest.split_at_checked(len)?;
    let (crc, body) = record.split_first_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some((body, rest))
}

struct Parsed<'a> {
    kind: u8,
    at: BootTime,
    name: Uuid,
    entries: &'a [u8],
}

fn parse(body: &[u8]) -> Option<Parsed<'_>> {
    let (fixed, entries) = body.split_at_checked(FIXED_BYTES)?;
    let (&kind, rest) = fixed.split_first()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (name, _) = rest.split_first_chunk::<16>()?;
    Some(Parsed {
        kind,
        at: BootTime::from_ms(i64::from_le_bytes(*at)),
        name: Uuid::from_bytes(*name),
        entries,
    })
}
