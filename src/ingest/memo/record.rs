//! The records of a memo, byte for byte.
//!
//! ```text
//! record   0      4      8    9        17          33     35
//!          len    crc    kind at_ms    name        count  count entries
//!          u32    u32    u8   i64      16 bytes    u16
//! ```
//!
//! Integers are little-endian; `len` counts what is behind it, and no record has
//! more than 4 MiB; `crc` is the CRC-32C of what is behind itself. In a file with a number it goes on from the
//! CRC-32C of that, as a u64, but for the record that says the number: what the
//! file held before it was begun anew is none of its records.
//!
//! | kind | says | name | entries |
//! |---|---|---|---|
//! | 1 | a batch is about to be sent, perhaps again | the batch | 32 bytes each: effect id, key as it is listed |
//! | 2 | it was accepted; no daemon was told | the batch | |
//! | 3 | effects are published; no daemon was told | zeros | 40 bytes each: effect id, the UUID it is known by, fingerprint (u64) |
//! | 5 | a file begins | the file's number | |
//! | 6 | effects of the outbox are published; its journal may not know | zeros | 24 bytes each: effect id, when it arrived (u64, ms since the epoch) |
//!
//! Kinds this program does not know are passed over. A file of an earlier
//! program has no such number, and counts as older than one that has; its first
//! record may be of kind 4.

use uuid::Uuid;

use super::Entry;
use super::left::Published;
use crate::clock::BootTime;
use crate::delivery::Done;

pub(super) const SENT: u8 = 1;
pub(super) const ACCEPTED: u8 = 2;
pub(super) const DONE: u8 = 3;
pub(super) const BEGUN: u8 = 5;
pub(super) const PUBLISHED: u8 = 6;

/// What is behind the last record of a file: one without a length is none.
pub(super) const END: [u8; 8] = [0; 8];

/// `len` and `crc`.
pub(super) const HEAD_BYTES: usize = 8;

/// No record has more: what says so is none.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Kind, time, name and count.
const FIXED_BYTES: usize = 27;

pub(super) const ENTRY_BYTES: usize = 32;
pub(super) const DONE_BYTES: usize = 40;
pub(super) const PUBLISHED_BYTES: usize = 24;

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

pub(super) fn published(out: &mut Vec<u8>, at: BootTime, published: &[Published]) {
    for some in published.chunks(COUNT_MAX) {
        let head = (PUBLISHED, at, Uuid::nil());
        record(out, head, some.iter(), |body, effect| {
            body.extend_from_slice(effect.id.as_bytes());
            body.extend_from_slice(&effect.arrived_ms.to_le_bytes());
        });
    }
}

/// How the file with this number begins; it is sealed.
pub(super) fn begun(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let name = Uuid::from_u128(number.into());
    let head = (BEGUN, BootTime::default(), name);
    record(&mut out, head, [0_u8; 0].iter(), |_, _| {});
    seal(&mut out, 0);
    out
}

/// Gives records the checksums they have in the file with this number.
pub(super) fn seal(records: &mut [u8], number: u64) {
    let seed = seed(number);
    let mut left = records;
    while let Some((len, rest)) = left.split_first_chunk_mut::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (record, rest) = rest.split_at_mut(len);
        if let Some((crc, body)) = record.split_first_chunk_mut::<4>() {
            *crc = crc32c::crc32c_append(seed, body).to_le_bytes();
        }
        left = rest;
    }
}

/// What the checksums of a file's records go on from.
pub(super) fn seed(number: u64) -> u32 {
    match number {
        0 => 0,
        number => crc32c::crc32c(&number.to_le_bytes()),
    }
}

/// Adds a record that is still to be sealed.
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
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// How many bytes the record has that begins so, if one does.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(*bytes.first_chunk()?);
    let bytes = usize::try_from(len).ok()?.checked_add(size_of_val(&len))?;
    (HEAD_BYTES <= bytes).then_some(bytes)
}

/// Whether `record` has the checksum that it has behind what `seed` is of.
pub(super) fn is_whole(record: &[u8], seed: u32) -> bool {
    let Some((head, body)) = record.split_first_chunk::<HEAD_BYTES>() else {
        return false;
    };
    let [.., a, b, c, d] = *head;
    crc32c::crc32c_append(seed, body) == u32::from_le_bytes([a, b, c, d])
}

/// What a record says.
pub(super) struct Parsed<'a> {
    pub(super) kind: u8,
    pub(super) at: BootTime,
    pub(super) name: Uuid,
    pub(super) entries: &'a [u8],
}

pub(super) fn parse(body: &[u8]) -> Option<Parsed<'_>> {
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
