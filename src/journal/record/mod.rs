//! A record on disk, format version 1: one line of JSON, normative to the byte.
//!
//! ```text
//! {"v":1,"q":"<16 hex>","k":"E","id":"<36 uuid>",…fields of its kind…,"c":"<8 hex>"}\n
//!            12..28          35       44..80                                 the last 16 bytes before the LF
//! ```
//!
//! | bytes | what |
//! |---|---|
//! | 0..7 | `{"v":1,`; a later version changes the digits |
//! | 12..28 | `q`: the record's number, one more than the one before, within and across segments |
//! | 35 | `k`: the kind, one letter |
//! | 44..80 | `id`: a UUID in lower case; what it names depends on the kind |
//! | 80 | the closing quote of the id, then `,"name":value` for each field, in the order below |
//! | len-16..len | `,"c":"xxxxxxxx"}`: the checksum |
//!
//! `c` is CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected, check value
//! e3069283) over the segment's salt, eight bytes little-endian, then the line
//! up to `,"c":`. A record of another segment, or of another life of this one,
//! never fits. All hex is in lower case. A line has no LF and no NUL.
//!
//! | `k` | `id` | fields in order (a `?` may be absent) |
//! |---|---|---|
//! | `H` header | the segment | `salt` 16 hex, `pq` 16 hex: the number before the segment, `pc` 8 hex: that record's `c`, `t`, `s`, `fmt` |
//! | `E` effect | the effect | `l` lane, `n`, `t` arrival, `s`?, `r`? route, `h` 16 hex fingerprint, `ku` UUID or `kg` text: the key if it is not the id, `ch`, `ev` or `ob`: event, or key of an object set, `p` or `pb` |
//! | `D` done | the effect, or the first | `t`, `s`?, `ids`? all of them if there are more than one, at most 64, `h`? 16 hex for each, `ku`? 32 hex for each |
//! | `F` failed | the effect | `t`, `s`?, `cls`: its class, with `,parks` behind it if its lane waits for it, `code`?, `att`, `err` |
//! | `R` operator | the effect | `t`, `s`?, `op`: `requeue` or `discard` |
//! | `X` note | its subject | `t`, `s`?, `note` |
//! | `Z` close | none, all zero | `t`, `s`? |
//!
//! - `s`, on the first record of a batch and in headers: the highest number
//!   known to be on stable storage before the batch was written. Damage at or
//!   below the highest `s` seen is loss; damage above it may be a crash's.
//! - `n`: the number the effect was first written under. It survives copies, so
//!   that it orders a lane for ever.
//! - `t`: milliseconds since the epoch.
//! - `fmt`: `falco-journal`, and behind it, each behind a blank, which life of the
//!   machine it is (16 hex), and for how many milliseconds at `t`. What that is for
//!   is told where [clocks](super::clock) are. A header may have no more than the
//!   first of it.
//! - `h` and `ku` of a `D`, without anything between one effect's digits and the
//!   next's: how it is recognised if it comes again. `h` is that of its `E`, or
//!   zeros; `ku` is the UUID by which it is known under another id, or its id.
//!   Neither is there if it would say nothing.
//! - `p`: the payload as it is, if it is JSON without an LF; else `pb`, its
//!   base64. Either gives back the very bytes.
//!
//! The header is lines 1 and 2 of its segment, with two numbers: without the
//! salt nothing in a segment can be trusted, so no single damage may cost it.
//! Its salt is at 90..106. Where both are lost, any two records of the segment
//! tell what their checksums began with, and that is as good as the salt.
//!
//! Pure: bytes in, bytes out.

mod encode;
mod form;
mod parse;
mod put;
mod salt;

#[cfg(test)]
mod tests;

use uuid::Uuid;

pub(super) use encode::{Body, encode};
pub(super) use form::{Blanks, Form};
pub(super) use parse::{Payload, Record, parse};
pub(super) use put::restamp;

/// The longest line.
pub(super) const RECORD_BYTES_MAX: usize = 4 << 20;

/// Ids that one `D` record may carry.
pub(super) const IDS_MAX: usize = 64;

/// How every record of this version begins.
const MAGIC: &[u8] = br#"{"v":1,"q":""#;

/// How every record of any version begins.
pub(super) const OPENING: &[u8] = br#"{"v":"#;

const Q: std::ops::Range<usize> = 12..28;
const KIND: usize = 35;
const ID: std::ops::Range<usize> = 44..80;
const SALT: std::ops::Range<usize> = 90..106;
const TRAILER: usize = 16;
const TRAILER_OPENING: &[u8] = br#","c":""#;

/// The shortest record: nothing between its id and its trailer.
const RECORD_BYTES_MIN: usize = ID.end + 1 + TRAILER;

/// A segment's salt, ready to begin a checksum with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Salt {
    pub(super) value: u64,
    begun: u32,
}

impl Salt {
    pub(super) fn new(value: u64) -> Self {
        let begun = crc32c::crc32c(&value.to_le_bytes());
        Self { value, begun }
    }

    fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.begun, bytes)
    }
}

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Header = b'H',
    Effect = b'E',
    Done = b'D',
    Failed = b'F',
    Operator = b'R',
    Note = b'X',
    Close = b'Z',
}

impl Kind {
    fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b'H' => Self::Header,
            b'E' => Self::Effect,
            b'D' => Self::Done,
            b'F' => Self::Failed,
            b'R' => Self::Operator,
            b'X' => Self::Note,
            b'Z' => Self::Close,
            _ => return None,
        })
    }
}

/// What the normative offsets of a valid record say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) q: u64,
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    pub(super) crc: u32,
}

/// Reads the frame of `line`, which has no LF, if it is a valid record of the
/// segment with this salt.
pub(super) fn frame(line: &[u8], salt: Salt) -> Option<Frame> {
    if line.len() < RECORD_BYTES_MIN || RECORD_BYTES_MAX < line.len() || !line.starts_with(MAGIC) {
        return None;
    }
    let crc = checked(line, salt)?;
    Some(Frame {
        q: hex(&line[Q])?,
        kind: Kind::of(line[KIND])?,
        id: Uuid::try_parse_ascii(&line[ID]).ok()?,
        crc,
    })
}

/// The salt a header line gives, if the line is valid under it.
pub(super) fn header_salt(line: &[u8]) -> Option<Salt> {
    let salt = Salt::new(hex(line.get(SALT)?)?);
    let frame = frame(line, salt)?;
    (frame.kind == Kind::Header).then_some(salt)
}

/// The version of `line`, if that is higher than ours and the line is whole.
///
/// Of later versions this takes for granted what a later version must keep: the
/// opening, the trailer, and where a header has its salt.
pub(super) fn newer_version(line: &[u8], salt: Option<Salt>) -> Option<u64> {
    let digits = line.strip_prefix(OPENING)?;
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let version = std::str::from_utf8(&digits[..count]).ok()?.parse().ok()?;
    if version <= 1 {
        return None;
    }
    let moved = SALT.start + count - 1..SALT.end + count - 1;
    let in_header = || line.get(moved).and_then(hex).map(Salt::new);
    checked(line, salt.or_else(in_header)?)?;
    Some(version)
}

/// Whether `line` is whole and of our version, and yet no record we know: then
/// somebody later wrote it.
pub(super) fn is_unknown(line: &[u8], salt: Salt) -> bool {
    RECORD_BYTES_MIN <= line.len()
        && line.starts_with(MAGIC)
        && checked(line, salt).is_some()
        && frame(line, salt).is_none_or(|frame| parse(line, &frame).is_none())
}

/// The checksum that the trailer of a record tells.
pub(super) fn crc_of(line: &[u8]) -> u32 {
    let digits = line.len().saturating_sub(10)..line.len().saturating_sub(2);
    let told = line.get(digits).and_then(hex).unwrap_or(0);
    u32::try_from(told).unwrap_or(0)
}

/// The checksum of `line` if its trailer has it.
fn checked(line: &[u8], salt: Salt) -> Option<u32> {
    let (covered, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER)?)?;
    let digits = trailer
        .strip_prefix(TRAILER_OPENING)?
        .strip_suffix(b"\"}")?;
    let told = u32::try_from(hex(digits)?).ok()?;
    (told == salt.checksum(covered)).then_some(told)
}

/// Lower-case hex, at most 16 digits.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}
