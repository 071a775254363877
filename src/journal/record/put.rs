//! The parts of a record's line, to bytes.

use uuid::Uuid;

use super::{ID, KIND, Kind, Q, Salt, TRAILER, TRAILER_OPENING};

/// How a record begins, up to the closing quote of its id.
const BEGINNING: &[u8; ID.end + 1] =
    br#"{"v":1,"q":"0000000000000000","k":" ","id":"00000000-0000-0000-0000-000000000000""#;

/// How it ends, with its LF.
const END: &[u8; TRAILER + 1] = b",\"c\":\"00000000\"}\n";

/// How many digits `number` has.
pub(in crate::journal) fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

pub(super) fn put_beginning(out: &mut Vec<u8>, q: u64, kind: Kind, id: Uuid) {
    let start = out.len();
    out.extend_from_slice(BEGINNING);
    let line = &mut out[start..];
    write_hex(&mut line[Q], q);
    line[KIND] = kind as u8;
    id.as_hyphenated().encode_lower(&mut line[ID]);
}

/// The end of a line that is yet to be sealed.
pub(super) fn put_end(out: &mut Vec<u8>) {
    out.extend_from_slice(END);
}

/// Makes `line`, a whole record without its LF, record `q` of the segment with
/// this salt; everything else it says stays.
pub(in crate::journal) fn restamp(line: &mut [u8], salt: Salt, q: u64) {
    write_hex(&mut line[Q], q);
    seal(line, salt);
}

/// Gives `line`, a whole record without its LF, its checksum.
pub(super) fn seal(line: &mut [u8], salt: Salt) {
    let covered = line.len() - TRAILER;
    let crc = salt.checksum(&line[..covered]);
    let at = covered + TRAILER_OPENING.len();
    write_hex(&mut line[at..at + 8], u64::from(crc));
}

pub(super) fn put_times(out: &mut Vec<u8>, t: u64, durable: Option<u64>) {
    put_number(out, br#","t":"#, t);
    put_durable(out, durable);
}

/// Returns where it stands.
pub(super) fn put_durable(out: &mut Vec<u8>, durable: Option<u64>) -> [usize; 2] {
    let start = out.len();
    if let Some(durable) = durable {
        put_hex(out, br#","s":"#, durable);
    }
    [start, out.len()]
}

/// A text behind `name`, which is all that stands before it.
pub(super) fn put_text(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    if !needs_escapes(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Text is always JSON, and a vector takes all of it.
    _ = serde_json::to_writer(out, text);
}

/// Looks at all of it, which takes less than to stop early.
fn needs_escapes(text: &str) -> bool {
    let special = |b: u8| matches!(b, 0..b' ' | b'"' | b'\\');
    text.bytes().fold(false, |any, b| any | special(b))
}

/// Returns where its digits stand.
pub(super) fn put_number(out: &mut Vec<u8>, name: &[u8], number: u64) -> [usize; 2] {
    out.extend_from_slice(name);
    let mut room = [0; 20];
    let digits = &mut room[20 - digits(number)..];
    write_number(digits, number);
    let start = out.len();
    out.extend_from_slice(digits);
    [start, out.len()]
}

/// Writes the last digits of `number`, as many as there is room for.
pub(super) fn write_number(into: &mut [u8], mut number: u64) {
    let mut pairs = into.rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&DECIMAL[(number % 100) as usize]);
        number /= 100;
    }
    if let [digit] = pairs.into_remainder() {
        *digit = b'0' + (number % 10) as u8;
    }
}

/// 16 digits in quotes.
pub(super) fn put_hex(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    out.push(b'"');
    put_hex_digits(out, value);
    out.push(b'"');
}

pub(super) fn put_hex_digits(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 16];
    write_hex(&mut digits, value);
    out.extend_from_slice(&digits);
}

/// As many digits as there is room for; a number of them that is even.
pub(super) fn write_hex(into: &mut [u8], mut value: u64) {
    for pair in into.rchunks_exact_mut(2) {
        pair.copy_from_slice(&HEX[(value & 0xff) as usize]);
        value >>= 8;
    }
}

/// The two digits of every byte.
const HEX: [[u8; 2]; 256] = pairs(16);

/// The two digits of every number below a hundred.
const DECIMAL: [[u8; 2]; 100] = pairs(10);

const fn pairs<const N: usize>(base: usize) -> [[u8; 2]; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; N];
    let mut of = 0;
    while of < N {
        pairs[of] = [DIGITS[of / base], DIGITS[of % base]];
        of += 1;
    }
    pairs
}

/// A UUID in quotes.
pub(super) fn put_uuid(out: &mut Vec<u8>, name: &[u8], id: Uuid) {
    out.extend_from_slice(name);
    let start = out.len();
    out.extend_from_slice(br#""00000000-0000-0000-0000-000000000000""#);
    id.as_hyphenated().encode_lower(&mut out[start + 1..]);
}
