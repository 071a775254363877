//! A record's line, and where in it is what only its place tells: its number, what
//! depends on that, and the checksum.
//!
//! Most of what a record says, it says wherever it stands. So whoever asks for the
//! record can make its line, for the place that is likely; if it is another, the
//! rest is written over: where the line stands already, if it has as many digits
//! for it, and in a copy otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::put::{
    digits, put_beginning, put_durable, put_end, put_hex, put_hex_digits, put_number, put_text,
    put_uuid, restamp, seal, write_hex, write_number,
};
use super::{IDS_MAX, Kind, Salt, TRAILER};
use crate::journal::entry::{Effect, Settled};
use crate::protocol::envelope::{self, Operation};
use crate::protocol::id::IdempotencyKey;

/// What the blanks take at most, with the trailer.
const BLANKS_MAX: usize = 20 + DURABLE + TRAILER;

/// What an `s` takes.
const DURABLE: usize = 23;

/// Where its digits are.
const DURABLE_DIGITS: std::ops::Range<usize> = 6..22;

/// Where a line stands in its buffer, with an LF behind it, and where in it is
/// what only its place tells; its own number is where it is in every line.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Form {
    start: usize,
    /// Where the digits of its one other number are: `n` of an effect, `t` of
    /// what says that some are settled.
    number: [usize; 2],
    /// Where its `s` is, if it has one.
    durable: [usize; 2],
    /// Where its trailer begins.
    end: usize,
}

/// What a place tells.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Blanks {
    pub(in crate::journal) salt: Salt,
    pub(in crate::journal) q: u64,
    /// An effect's `n`, or a `t`.
    pub(in crate::journal) number: u64,
    /// Its `s`.
    pub(in crate::journal) durable: Option<u64>,
}

impl Form {
    /// Appends the line of `effect` to `out`.
    pub(in crate::journal) fn of_effect(out: &mut Vec<u8>, effect: &Effect, of: Blanks) -> Self {
        let start = out.len();
        put_beginning(out, of.q, Kind::Effect, effect.id.as_uuid());
        put_text(out, br#","l":"#, effect.lane.as_str());
        let number = put_number(out, br#","n":"#, of.number);
        put_number(out, br#","t":"#, effect.arrived_ms);
        let durable = put_durable(out, of.durable);
        put_rest(out, effect);
        Self::ended(out, of.salt, start, number, durable)
    }

    /// The same of one to 64 that are settled.
    pub(in crate::journal) fn of_done(out: &mut Vec<u8>, done: &[Settled], of: Blanks) -> Self {
        debug_assert!((1..=IDS_MAX).contains(&done.len()));
        let start = out.len();
        let id = done.first().map(|done| done.id.as_uuid());
        put_beginning(out, of.q, Kind::Done, id.unwrap_or_default());
        let number = put_number(out, br#","t":"#, of.number);
        let durable = put_durable(out, of.durable);
        put_done(out, done);
        Self::ended(out, of.salt, start, number, durable)
    }

    fn ended(
        out: &mut Vec<u8>,
        salt: Salt,
        start: usize,
        number: [usize; 2],
        durable: [usize; 2],
    ) -> Self {
        let end = out.len();
        put_end(out);
        seal(&mut out[start..end + TRAILER], salt);
        Self {
            start,
            number,
            durable,
            end,
        }
    }

    /// Where its line begins.
    pub(in crate::journal) fn start(self) -> usize {
        self.start
    }

    /// Its line's length, without the LF.
    pub(in crate::journal) fn length(self) -> usize {
        self.end + TRAILER - self.start
    }

    /// The longest its line can become.
    pub(in crate::journal) fn length_max(self) -> usize {
        let [number, after] = self.number;
        let [durable, behind] = self.durable;
        self.end - self.start - (after - number) - (behind - durable) + BLANKS_MAX
    }

    /// Makes its line say this instead, where it stands in `buffer`. Whether it
    /// has room for it; if not, it is still good for a copy.
    pub(in crate::journal) fn fill(self, buffer: &mut [u8], of: Blanks) -> bool {
        let [number, after] = self.number;
        let [durable, behind] = self.durable;
        if after - number != digits(of.number) || (durable < behind) != of.durable.is_some() {
            return false;
        }
        write_number(&mut buffer[number..after], of.number);
        if let Some(value) = of.durable {
            write_hex(&mut buffer[durable..behind][DURABLE_DIGITS], value);
        }
        restamp(&mut buffer[self.start..self.end + TRAILER], of.salt, of.q);
        true
    }

    /// Appends to `out` its line and an LF, saying this instead.
    pub(in crate::journal) fn copy(self, buffer: &[u8], out: &mut Vec<u8>, of: Blanks) {
        let [number, after] = self.number;
        let [durable, behind] = self.durable;
        out.reserve(self.length_max() + 1);
        let start = out.len();
        out.extend_from_slice(&buffer[self.start..number]);
        put_number(out, b"", of.number);
        out.extend_from_slice(&buffer[after..durable]);
        put_durable(out, of.durable);
        out.extend_from_slice(&buffer[behind..self.end]);
        put_end(out);
        let end = out.len() - 1;
        restamp(&mut out[start..end], of.salt, of.q);
    }
}

/// What stands behind an effect's `s`.
fn put_rest(out: &mut Vec<u8>, effect: &Effect) {
    if let Some(route) = &effect.route {
        put_text(out, br#","r":"#, route);
    }
    put_hex(out, br#","h":"#, effect.fingerprint);
    match &effect.key {
        IdempotencyKey::Uuid(key) if *key == effect.id.as_uuid() => {}
        IdempotencyKey::Uuid(key) => put_uuid(out, br#","ku":"#, *key),
        IdempotencyKey::Given(text) => put_text(out, br#","kg":"#, text),
    }
    let operation = &effect.operation;
    put_text(out, br#","ch":"#, operation.channel());
    let name: &[u8] = match operation {
        Operation::Publish { .. } => br#","ev":"#,
        Operation::ObjectSet { .. } => br#","ob":"#,
    };
    put_text(out, name, operation.name());
    put_payload(out, operation.body());
}

fn put_payload(out: &mut Vec<u8>, payload: &envelope::Body) {
    if is_line_of_json(payload) {
        out.extend_from_slice(br#","p":"#);
        out.extend_from_slice(payload);
        return;
    }
    out.extend_from_slice(br#","pb":""#);
    let at = out.len();
    // Within bounds: a base64 text has four digits for three bytes.
    out.resize(at + payload.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(&**payload, &mut out[at..])
        .unwrap_or(0);
    out.truncate(at + written);
    out.push(b'"');
}

/// Whether `payload` may stand in a line as it is.
fn is_line_of_json(payload: &envelope::Body) -> bool {
    let is_json = || {
        std::str::from_utf8(payload).is_ok()
            && serde_json::from_slice::<IgnoredAny>(payload).is_ok()
    };
    memchr::memchr(b'\n', payload).is_none() && (payload.is_known_json() || is_json())
}

fn put_done(out: &mut Vec<u8>, done: &[Settled]) {
    if 1 < done.len() {
        for (at, done) in done.iter().enumerate() {
            let before: &[u8] = if at == 0 { br#","ids":["# } else { b"," };
            put_uuid(out, before, done.id.as_uuid());
        }
        out.push(b']');
    }
    if done.iter().any(|done| done.fingerprint != 0) {
        out.extend_from_slice(br#","h":""#);
        for done in done {
            put_hex_digits(out, done.fingerprint);
        }
        out.push(b'"');
    }
    if done.iter().any(|done| done.known_by != done.id.as_uuid()) {
        out.extend_from_slice(br#","ku":""#);
        for done in done {
            let (high, low) = done.known_by.as_u64_pair();
            put_hex_digits(out, high);
            put_hex_digits(out, low);
        }
        out.push(b'"');
    }
}
