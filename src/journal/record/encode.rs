//! Records to bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::{IDS_MAX, Kind, MAGIC, Q, Salt, TRAILER, TRAILER_OPENING};
use crate::journal::entry::{DeadLetter, Effect};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

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
        effect: &'a Effect,
        n: u64,
    },
    /// One to 64 of them.
    Done(&'a [EffectId]),
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
            Self::Effect { effect, .. } => effect.id.as_uuid(),
            Self::Done(ids) => ids.first().map_or(Uuid::nil(), EffectId::as_uuid),
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
    out.extend_from_slice(MAGIC);
    put_hex(out, q, 16);
    out.extend_from_slice(br#"","k":""#);
    out.push(body.kind() as u8);
    out.extend_from_slice(br#"","id":""#);
    put_uuid(out, body.id());
    out.push(b'"');
    put_fields(out, salt, durable, now_ms, body);
    let crc = salt.checksum(&out[start..]);
    out.extend_from_slice(TRAILER_OPENING);
    put_hex(out, u64::from(crc), 8);
    out.extend_from_slice(b"\"}\n");
}

/// Makes `line`, a whole record without its LF, record `q` of the segment with
/// this salt; everything else it says stays.
pub(in crate::journal) fn restamp(line: &mut [u8], salt: Salt, q: u64) {
    let mut digits = Vec::with_capacity(16);
    put_hex(&mut digits, q, 16);
    line[Q].copy_from_slice(&digits);
    let covered = line.len() - TRAILER;
    let crc = salt.checksum(&line[..covered]);
    digits.clear();
    put_hex(&mut digits, u64::from(crc), 8);
    let at = covered + TRAILER_OPENING.len();
    line[at..at + 8].copy_from_slice(&digits);
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
        Body::Effect { effect, n } => put_effect(out, durable, effect, n),
        Body::Done(ids) => {
            debug_assert!((1..=IDS_MAX).contains(&ids.len()));
            put_times(out, now_ms, durable);
            if 1 < ids.len() {
                put_ids(out, ids);
            }
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
    }
}

fn put_effect(out: &mut Vec<u8>, durable: Option<u64>, effect: &Effect, n: u64) {
    put_text_field(out, "l", effect.lane.as_str());
    put_number_field(out, "n", n);
    put_times(out, effect.arrived_ms, durable);
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

fn put_payload(out: &mut Vec<u8>, payload: &[u8]) {
    if is_line_of_json(payload) {
        out.extend_from_slice(br#","p":"#);
        out.extend_from_slice(payload);
        return;
    }
    out.extend_from_slice(br#","pb":""#);
    let at = out.len();
    // Within bounds: a base64 text has four digits for three bytes.
    out.resize(at + payload.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(payload, &mut out[at..]).unwrap_or(0);
    out.truncate(at + written);
    out.push(b'"');
}

/// Whether `payload` may stand in a line as it is.
fn is_line_of_json(payload: &[u8]) -> bool {
    memchr::memchr(b'\n', payload).is_none()
        && std::str::from_utf8(payload).is_ok()
        && serde_json::from_slice::<IgnoredAny>(payload).is_ok()
}

fn put_times(out: &mut Vec<u8>, t: u64, durable: Option<u64>) {
    put_number_field(out, "t", t);
    if let Some(durable) = durable {
        put_hex_field(out, "s", durable, 16);
    }
}

fn put_ids(out: &mut Vec<u8>, ids: &[EffectId]) {
    out.extend_from_slice(br#","ids":["#);
    for (at, id) in ids.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        put_uuid(out, id.as_uuid());
        out.push(b'"');
    }
    out.push(b']');
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_text_field(out: &mut Vec<u8>, name: &str, text: &str) {
    put_name(out, name);
    if text.bytes().all(|b| b' ' <= b && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Text is always JSON, and a vector takes all of it.
    _ = serde_json::to_writer(out, text);
}

fn put_number_field(out: &mut Vec<u8>, name: &str, number: u64) {
    put_name(out, name);
    _ = serde_json::to_writer(out, &number);
}

fn put_hex_field(out: &mut Vec<u8>, name: &str, value: u64, digits: u32) {
    put_name(out, name);
    out.push(b'"');
    put_hex(out, value, digits);
    out.push(b'"');
}

fn put_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for place in (0..digits).rev() {
        out.push(DIGITS[(value >> (4 * place) & 15) as usize]);
    }
}

fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    let mut text = Uuid::encode_buffer();
    out.extend_from_slice(id.as_hyphenated().encode_lower(&mut text).as_bytes());
}
