//! Records to bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::{IDS_MAX, Kind, MAGIC, Q, Salt, TRAILER, TRAILER_OPENING};
use crate::journal::entry::{DeadLetter, Effect, Settled};
use crate::protocol::envelope::{self, Operation};
use crate::protocol::id::{EffectId, IdempotencyKey};

/// What an effect's record says wherever it stands; see [`draft`].
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Draft<'a> {
    pub(in crate::journal) id: EffectId,
    /// Up to where `n` goes.
    pub(in crate::journal) head: &'a [u8],
    /// Up to where `s` goes.
    pub(in crate::journal) time: &'a [u8],
    /// Up to the trailer.
    pub(in crate::journal) tail: &'a [u8],
}

/// What a place adds to a draft at most: `n`, `s` and the trailer.
pub(in crate::journal) const PLACE_BYTES_MAX: usize = 25 + 23 + TRAILER;

/// What a record says.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) enum Body<'a> {
    /// The header of the segment called so.
    Header {
        segment: Uuid,
        prev_last: u64,
        prev_crc: u32,
    },
    Effect {
        draft: Draft<'a>,
        n: u64,
    },
    /// One to 64 of them.
    Done(&'a [Settled]),
    Failed(EffectId, &'a DeadLetter),
    Requeue(EffectId),
    Discard(EffectId),
    Note(Uuid, &'a str),
    Close,
}

impl Body<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Header { .. } => Kind::Header,
            Self::Effect { .. } => Kind::Effect,
            Self::Done(_) => Kind::Done,
            Self::Failed(..) => Kind::Failed,
            Self::Requeue(_) | Self::Discard(_) => Kind::Operator,
            Self::Note(..) => Kind::Note,
            Self::Close => Kind::Close,
        }
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Header { segment, .. } => *segment,
            Self::Effect { draft, .. } => draft.id.as_uuid(),
            Self::Done(done) => done.first().map_or(Uuid::nil(), |done| done.id.as_uuid()),
            Self::Failed(id, _) | Self::Requeue(id) | Self::Discard(id) => id.as_uuid(),
            Self::Note(id, _) => *id,
            Self::Close => Uuid::nil(),
        }
    }
}

/// Appends one record and its LF to `out`; `durable` is its `s`.
pub(in crate::journal) fn encode(
    out: &mut Vec<u8>,
    salt: Salt,
    q: u64,
    durable: Option<u64>,
    now_ms: u64,
    body: Body<'_>,
) {
    let start = out.len();
    if let Body::Effect { draft, n } = body {
        put_draft(out, q, durable, draft, n);
    } else {
        put_opening(out, q, body.kind(), body.id());
        put_fields(out, salt, durable, now_ms, body);
    }
    let crc = salt.checksum(&out[start..]);
    out.extend_from_slice(TRAILER_OPENING);
    put_hex(out, u64::from(crc), 8);
    out.extend_from_slice(b"\"}\n");
}

/// Appends to `out` what a record of `effect` says wherever it stands; returns
/// where its [`Draft::head`] and its [`Draft::time`] end.
pub(in crate::journal) fn draft(out: &mut Vec<u8>, effect: &Effect) -> [usize; 2] {
    put_opening(out, 0, Kind::Effect, effect.id.as_uuid());
    put_text_field(out, "l", effect.lane.as_str());
    let head = out.len();
    put_times(out, effect.arrived_ms, None);
    let time = out.len();
    put_rest(out, effect);
    [head, time]
}

fn put_draft(out: &mut Vec<u8>, q: u64, durable: Option<u64>, draft: Draft<'_>, n: u64) {
    let Draft {
        head, time, tail, ..
    } = draft;
    out.reserve(head.len() + time.len() + tail.len() + PLACE_BYTES_MAX + 1);
    let start = out.len();
    out.extend_from_slice(head);
    write_hex(&mut out[start..][Q], q);
    put_number_field(out, "n", n);
    out.extend_from_slice(time);
    put_durable(out, durable);
    out.extend_from_slice(tail);
}

fn put_opening(out: &mut Vec<u8>, q: u64, kind: Kind, id: Uuid) {
    out.extend_from_slice(MAGIC);
    put_hex(out, q, 16);
    out.extend_from_slice(br#"","k":""#);
    out.push(kind as u8);
    out.extend_from_slice(br#"","id":""#);
    put_uuid(out, id);
    out.push(b'"');
}

/// Makes `line`, a whole record without its LF, record `q` of the segment with
/// this salt; everything else it says stays.
pub(in crate::journal) fn restamp(line: &mut [u8], salt: Salt, q: u64) {
    write_hex(&mut line[Q], q);
    let covered = line.len() - TRAILER;
    let crc = salt.checksum(&line[..covered]);
    let at = covered + TRAILER_OPENING.len();
    write_hex(&mut line[at..at + 8], u64::from(crc));
}

fn put_fields(out: &mut Vec<u8>, salt: Salt, durable: Option<u64>, now_ms: u64, body: Body<'_>) {
    match body {
        Body::Header {
            prev_last,
            prev_crc,
            ..
        } => {
            put_hex_field(out, "salt", salt.value, 16);
            put_hex_field(out, "pq", prev_last, 16);
            put_hex_field(out, "pc", u64::from(prev_crc), 8);
            put_times(out, now_ms, durable);
            put_text_field(out, "fmt", "falco-journal");
        }
        Body::Done(done) => {
            debug_assert!((1..=IDS_MAX).contains(&done.len()));
            put_times(out, now_ms, durable);
            put_done(out, done);
        }
        Body::Failed(_, letter) => {
            put_times(out, letter.at_ms, durable);
            put_text_field(out, "cls", &letter.class);
            if let Some(code) = letter.code {
                put_number_field(out, "code", u64::from(code));
            }
            put_number_field(out, "att", u64::from(letter.attempts));
            put_text_field(out, "err", &letter.error);
        }
        Body::Requeue(_) => {
            put_times(out, now_ms, durable);
            put_text_field(out, "op", "requeue");
        }
        Body::Discard(_) => {
            put_times(out, now_ms, durable);
            put_text_field(out, "op", "discard");
        }
        Body::Note(_, text) => {
            put_times(out, now_ms, durable);
            put_text_field(out, "note", text);
        }
        Body::Close => put_times(out, now_ms, durable),
        Body::Effect { .. } => {}
    }
}

/// What stands behind `s`.
fn put_rest(out: &mut Vec<u8>, effect: &Effect) {
    if let Some(route) = &effect.route {
        put_text_field(out, "r", route);
    }
    put_hex_field(out, "h", effect.fingerprint, 16);
    match &effect.key {
        IdempotencyKey::Uuid(key) if *key == effect.id.as_uuid() => {}
        IdempotencyKey::Uuid(key) => {
            out.extend_from_slice(br#","ku":""#);
            put_uuid(out, *key);
            out.push(b'"');
        }
        IdempotencyKey::Given(text) => put_text_field(out, "kg", text),
    }
    let operation = &effect.operation;
    put_text_field(out, "ch", operation.channel());
    let name = match operation {
        Operation::Publish { .. } => "ev",
        Operation::ObjectSet { .. } => "ob",
    };
    put_text_field(out, name, operation.name());
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

fn put_times(out: &mut Vec<u8>, t: u64, durable: Option<u64>) {
    put_number_field(out, "t", t);
    put_durable(out, durable);
}

fn put_durable(out: &mut Vec<u8>, durable: Option<u64>) {
    if let Some(durable) = durable {
        put_hex_field(out, "s", durable, 16);
    }
}

fn put_done(out: &mut Vec<u8>, done: &[Settled]) {
    if 1 < done.len() {
        out.extend_from_slice(br#","ids":["#);
        for (at, done) in done.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            put_uuid(out, done.id.as_uuid());
            out.push(b'"');
        }
        out.push(b']');
    }
    if done.iter().any(|done| done.fingerprint != 0) {
        out.extend_from_slice(br#","h":""#);
        for done in done {
            put_hex(out, done.fingerprint, 16);
        }
        out.push(b'"');
    }
    if done.iter().any(|done| done.known_by != done.id.as_uuid()) {
        out.extend_from_slice(br#","ku":""#);
        for done in done {
            let (high, low) = done.known_by.as_u64_pair();
            put_hex(out, high, 16);
            put_hex(out, low, 16);
        }
        out.push(b'"');
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_text_field(out: &mut Vec<u8>, name: &str, text: &str) {
    put_name(out, name);
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

fn put_number_field(out: &mut Vec<u8>, name: &str, number: u64) {
    put_name(out, name);
    _ = serde_json::to_writer(out, &number);
}

fn put_hex_field(out: &mut Vec<u8>, name: &str, value: u64, digits: usize) {
    put_name(out, name);
    out.push(b'"');
    put_hex(out, value, digits);
    out.push(b'"');
}

fn put_hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, 0);
    write_hex(&mut out[start..], value);
}

/// As many digits as there is room for; a number of them that is even.
fn write_hex(into: &mut [u8], mut value: u64) {
    for pair in into.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(value & 0xff) as usize]);
        value >>= 8;
    }
}

/// The two digits of every byte.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    let mut text = Uuid::encode_buffer();
    out.extend_from_slice(id.as_hyphenated().encode_lower(&mut text).as_bytes());
}
