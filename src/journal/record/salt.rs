//! A segment's salt, found again when its headers are lost.
//!
//! A checksum can be run backwards: a whole line and what its trailer says give
//! the state that the salt had left behind. That any one line gives; that two
//! give the same is no accident.

use super::{Frame, ID, KIND, Kind, MAGIC, Q, RECORD_BYTES_MAX, RECORD_BYTES_MIN, Salt, hex};
use uuid::Uuid;

/// CRC-32C, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What one byte does to the state.
const TABLE: [u32; 256] = table();

#[expect(clippy::cast_possible_truncation, reason = "256 of them")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            let odd = value & 1 == 1;
            value >>= 1;
            if odd {
                value ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

/// The state before `byte`, given the state after it.
fn before(state: u32, byte: u8) -> u32 {
    // The high bytes of the table are all different.
    let is_it = |entry: &u32| entry >> 24 == state >> 24;
    let at = TABLE.iter().position(is_it).unwrap_or(0);
    let low = u32::try_from(at).unwrap_or(0) ^ u32::from(byte);
    (state ^ TABLE[at]) << 8 | low
}

impl Salt {
    /// A salt that begins checksums like this; there are many, all alike.
    fn beginning(begun: u32) -> Self {
        // Four zeros, and four bytes that make of their state what is wanted.
        let zeros = !crc32c::crc32c(&[0; 4]);
        let wanted = (0..4).fold(!begun, |state, _| before(state, 0));
        let value = u64::from(zeros ^ wanted) << 32;
        Self { value, begun }
    }

    /// The one under which `line` is valid, if it has the shape of a record;
    /// and what its frame says.
    pub(in crate::journal) fn behind(line: &[u8]) -> Option<(Self, Frame)> {
        let fits = (RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&line.len());
        if !fits || !line.starts_with(MAGIC) {
            return None;
        }
        let (covered, trailer) = line.split_at(line.len() - super::TRAILER);
        let digits = trailer.strip_prefix(super::TRAILER_OPENING)?;
        let told = u32::try_from(hex(digits.strip_suffix(b"\"}")?)?).ok()?;
        let (q, kind) = (hex(&line[Q])?, Kind::of(line[KIND])?);
        let id = Uuid::try_parse_ascii(&line[ID]).ok()?;
        let state = covered.iter().rev().fold(!told, |s, byte| before(s, *byte));
        let frame = Frame {
            q,
            kind,
            id,
            crc: told,
        };
        Some((Self::beginning(!state), frame))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, encode, frame};
    use super::*;

    #[test]
    fn a_line_tells_a_salt_that_is_as_good_as_its_own() {
        for value in [0, 1, 0xfeed_beef_0000_0001, u64::MAX] {
            let salt = Salt::new(value);
            let mut line = Vec::new();
            encode(&mut line, salt, 7, Some(6), 5, Body::Close);
            line.pop();
            let (found, told) = Salt::behind(&line).expect("a record");
            assert_eq!(found.begun, salt.begun);
            assert_eq!(Salt::new(found.value), found);
            assert_eq!(frame(&line, found), Some(told));
        }
    }
}
