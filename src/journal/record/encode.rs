//! Records to bytes.

use uuid::Uuid;

use super::form::{Blanks, Form};
use super::put::{put_beginning, put_end, put_hex, put_number, put_text, put_times, seal};
use super::{Kind, Salt};
use crate::journal::clock::Clock;
use crate::journal::entry::{DeadLetter, Settled};
use crate::protocol::id::EffectId;

/// What a record says; that of an effect has a [`Form`].
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) enum Body<'a> {
    /// The header of the segment called so.
    Header {
        segment: Uuid,
        prev_last: u64,
        prev_crc: u32,
        clock: Clock,
    },
    /// One to 64 of them.
    Done(&'a [Settled]),
    Failed(EffectId, &'a DeadLetter),
    Requeue(EffectId),
    Discard(EffectId),
    Note(Uuid, &'a str),
    Close,
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
    let opening = |out: &mut Vec<u8>, kind, id| put_beginning(out, q, kind, id);
    match body {
        Body::Header {
            segment,
            prev_last,
            prev_crc,
            clock,
        } => {
            opening(out, Kind::Header, segment);
            put_hex(out, br#","salt":"#, salt.value);
            put_hex(out, br#","pq":"#, prev_last);
            put_text(out, br#","pc":"#, &format!("{prev_crc:08x}"));
            put_times(out, now_ms, durable);
            put_text(out, br#","fmt":"#, &clock.fmt(now_ms));
        }
        Body::Done(done) => {
            let of = Blanks {
                salt,
                q,
                number: now_ms,
                durable,
            };
            Form::of_done(out, done, of);
            return;
        }
        Body::Failed(id, letter) => {
            opening(out, Kind::Failed, id.as_uuid());
            put_times(out, letter.at_ms, durable);
            put_text(out, br#","cls":"#, &letter.class);
            if let Some(code) = letter.code {
                put_number(out, br#","code":"#, u64::from(code));
            }
            put_number(out, br#","att":"#, u64::from(letter.attempts));
            put_text(out, br#","err":"#, &letter.error);
        }
        Body::Requeue(id) => {
            opening(out, Kind::Operator, id.as_uuid());
            put_times(out, now_ms, durable);
            put_text(out, br#","op":"#, "requeue");
        }
        Body::Discard(id) => {
            opening(out, Kind::Operator, id.as_uuid());
            put_times(out, now_ms, durable);
            put_text(out, br#","op":"#, "discard");
        }
        Body::Note(id, text) => {
            opening(out, Kind::Note, id);
            put_times(out, now_ms, durable);
            put_text(out, br#","note":"#, text);
        }
        Body::Close => {
            opening(out, Kind::Close, Uuid::nil());
            put_times(out, now_ms, durable);
        }
    }
    put_end(out);
    let end = out.len() - 1;
    seal(&mut out[start..end], salt);
}
