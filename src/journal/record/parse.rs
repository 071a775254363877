//! Bytes to records: only what our own encoder writes, in its order.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::{Frame, ID, IDS_MAX, Kind, TRAILER, hex};
use crate::journal::clock::Clock;
use crate::journal::entry::{DeadLetter, Effect, Settled};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// A record, borrowed from its line.
#[derive(Debug)]
pub(in crate::journal) struct Record<'a> {
    /// The highest number known to be synced before this was written.
    pub(in crate::journal) durable: Option<u64>,
    /// Its time.
    pub(in crate::journal) t: u64,
    /// What it says.
    pub(in crate::journal) payload: Payload<'a>,
}

/// What a record says.
#[derive(Debug)]
pub(in crate::journal) enum Payload<'a> {
    Header {
        prev_last: u64,
        prev_crc: u32,
        /// By which its segment was written, if it says so.
        clock: Option<Clock>,
    },
    Effect(StoredEffect<'a>),
    Done(Vec<Settled>),
    Failed(DeadLetter),
    Requeue,
    Discard,
    Note(Cow<'a, str>),
    Close,
}

impl Payload<'_> {
    /// Whether effects are settled by it.
    pub(in crate::journal) fn settles(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Discard)
    }
}

/// An effect whose payload is still as it stands in the line.
#[derive(Debug)]
pub(in crate::journal) struct StoredEffect<'a> {
    pub(in crate::journal) lane: Cow<'a, str>,
    pub(in crate::journal) n: u64,
    pub(in crate::journal) route: Option<Cow<'a, str>>,
    pub(in crate::journal) fingerprint: u64,
    pub(in crate::journal) key: IdempotencyKey,
    channel: Cow<'a, str>,
    name: Cow<'a, str>,
    is_object: bool,
    body: &'a [u8],
    is_base64: bool,
}

impl StoredEffect<'_> {
    /// The length of the payload.
    pub(in crate::journal) fn bytes(&self) -> usize {
        if !self.is_base64 {
            return self.body.len();
        }
        let padding = self.body.iter().rev().take_while(|b| **b == b'=').count();
        (self.body.len() / 4 * 3).saturating_sub(padding)
    }

    /// What names the effect `id` under another id; its own if nothing does.
    pub(in crate::journal) fn known_by(&self, id: EffectId) -> Uuid {
        if self.is_object {
            return id.as_uuid();
        }
        self.key.comparable(self.route.as_deref(), &self.channel)
    }

    /// The whole effect, with its payload's very bytes.
    pub(in crate::journal) fn to_effect(&self, id: EffectId, t: u64) -> Option<Effect> {
        let body = if self.is_base64 {
            Bytes::from(STANDARD.decode(self.body).ok()?)
        } else {
            Bytes::copy_from_slice(self.body)
        };
        let body = body.into();
        let (channel, name) = (self.channel.as_ref().into(), self.name.as_ref().into());
        let operation = if self.is_object {
            Operation::ObjectSet {
                channel,
                key: name,
                value: body,
            }
        } else {
            Operation::Publish {
                channel,
                event: name,
                payload: body,
            }
        };
        Some(Effect {
            id,
            lane: LaneKey::new(self.lane.as_ref()),
            route: self.route.as_deref().map(Into::into),
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            arrived_ms: t,
            operation,
        })
    }
}

/// Reads the fields of a line whose frame is valid.
///
/// `None` if they are not what our encoder writes: then the line is none of
/// ours, whatever its checksum says.
pub(in crate::journal) fn parse<'a>(line: &'a [u8], frame: &Frame) -> Option<Record<'a>> {
    let fields = line.get(ID.end..line.len().checked_sub(TRAILER)?)?;
    let mut fields = Fields(fields.strip_prefix(b"\"")?);
    let record = match frame.kind {
        Kind::Header => header(&mut fields)?,
        Kind::Effect => effect(&mut fields, frame.id)?,
        Kind::Done => done(&mut fields, frame.id)?,
        Kind::Failed => failed(&mut fields)?,
        Kind::Operator => operator(&mut fields)?,
        Kind::Note => {
            let (t, durable) = fields.times()?;
            let payload = Payload::Note(fields.text_field("note")?);
            Record {
                durable,
                t,
                payload,
            }
        }
        Kind::Close => {
            let (t, durable) = fields.times()?;
            let payload = Payload::Close;
            Record {
                durable,
                t,
                payload,
            }
        }
    };
    fields.0.is_empty().then_some(record)
}

fn header<'a>(fields: &mut Fields<'a>) -> Option<Record<'a>> {
    fields.hex_field("salt", 16)?;
    let prev_last = fields.hex_field("pq", 16)?;
    let prev_crc = u32::try_from(fields.hex_field("pc", 8)?).ok()?;
    let (t, durable) = fields.times()?;
    let clock = Clock::told(t, &fields.text_field("fmt")?);
    let payload = Payload::Header {
        prev_last,
        prev_crc,
        clock,
    };
    Some(Record {
        durable,
        t,
        payload,
    })
}

fn effect<'a>(fields: &mut Fields<'a>, id: Uuid) -> Option<Record<'a>> {
    let lane = fields.text_field("l")?;
    let n = fields.number_field("n")?;
    let (t, durable) = fields.times()?;
    let route = fields.text_field("r");
    let fingerprint = fields.hex_field("h", 16)?;
    let key = fields.key(id)?;
    let channel = fields.text_field("ch")?;
    let (name, is_object) = match fields.text_field("ev") {
        Some(event) => (event, false),
        None => (fields.text_field("ob")?, true),
    };
    let (body, is_base64) = if fields.name("p") {
        (std::mem::take(&mut fields.0), false)
    } else {
        let quoted = fields.name("pb").then(|| std::mem::take(&mut fields.0))?;
        (quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?, true)
    };
    let payload = Payload::Effect(StoredEffect {
        lane,
        n,
        route,
        fingerprint,
        key,
        channel,
        name,
        is_object,
        body,
        is_base64,
    });
    Some(Record {
        durable,
        t,
        payload,
    })
}

fn done<'a>(fields: &mut Fields<'a>, id: Uuid) -> Option<Record<'a>> {
    let (t, durable) = fields.times()?;
    let mut done = if fields.name("ids") {
        fields.ids()?
    } else {
        vec![EffectId::from(id).into()]
    };
    if fields.name("h") {
        let digits = fields.digits(16 * done.len())?;
        for (done, digits) in done.iter_mut().zip(digits.chunks(16)) {
            done.fingerprint = hex(digits)?;
        }
    }
    if fields.name("ku") {
        let digits = fields.digits(32 * done.len())?;
        for (done, digits) in done.iter_mut().zip(digits.chunks(32)) {
            done.known_by = Uuid::from_u64_pair(hex(&digits[..16])?, hex(&digits[16..])?);
        }
    }
    let payload = Payload::Done(done);
    Some(Record {
        durable,
        t,
        payload,
    })
}

fn failed<'a>(fields: &mut Fields<'a>) -> Option<Record<'a>> {
    let (t, durable) = fields.times()?;
    let class = fields.text_field("cls")?.into();
    let code = match fields.number_field("code") {
        Some(code) => Some(u32::try_from(code).ok()?),
        None => None,
    };
    let attempts = u32::try_from(fields.number_field("att")?).ok()?;
    let error = fields.text_field("err")?.into();
    let payload = Payload::Failed(DeadLetter {
        class,
        code,
        error,
        attempts,
        at_ms: t,
    });
    Some(Record {
        durable,
        t,
        payload,
    })
}

fn operator<'a>(fields: &mut Fields<'a>) -> Option<Record<'a>> {
    let (t, durable) = fields.times()?;
    let payload = match fields.text_field("op")?.as_ref() {
        "requeue" => Payload::Requeue,
        "discard" => Payload::Discard,
        _ => return None,
    };
    Some(Record {
        durable,
        t,
        payload,
    })
}

/// The fields not read yet, each `,"name":value`.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Steps over `,"name":` if it is next.
    fn name(&mut self, name: &str) -> bool {
        let rest = self.0.strip_prefix(b",\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(name.as_bytes()));
        let rest = rest.and_then(|rest| rest.strip_prefix(b"\":"));
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn times(&mut self) -> Option<(u64, Option<u64>)> {
        let t = self.number_field("t")?;
        Some((t, self.hex_field("s", 16)))
    }

    fn key(&mut self, id: Uuid) -> Option<IdempotencyKey> {
        if self.name("ku") {
            return self.uuid().map(IdempotencyKey::Uuid);
        }
        let given = self.text_field("kg");
        Some(given.map_or(IdempotencyKey::Uuid(id), |text| {
            IdempotencyKey::Given(text.into())
        }))
    }

    fn number_field(&mut self, name: &str) -> Option<u64> {
        if !self.name(name) {
            return None;
        }
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn hex_field(&mut self, name: &str, digits: usize) -> Option<u64> {
        if !self.name(name) {
            return None;
        }
        hex(self.digits(digits)?)
    }

    /// A string of so many bytes, none of which is escaped.
    fn digits(&mut self, count: usize) -> Option<&'a [u8]> {
        let (quoted, rest) = self.0.split_at_checked(count + 2)?;
        self.0 = rest;
        quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")
    }

    fn text_field(&mut self, name: &str) -> Option<Cow<'a, str>> {
        if !self.name(name) {
            return None;
        }
        self.text()
    }

    /// A JSON string; nothing is copied unless it has escapes.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix(b"\"")?;
        let mut at = 0;
        let mut has_escapes = false;
        loop {
            at += memchr::memchr2(b'"', b'\\', inside.get(at..)?)?;
            if inside[at] == b'"' {
                break;
            }
            has_escapes = true;
            at += 2;
        }
        let quoted = &self.0[..at + 2];
        self.0 = &inside[at + 1..];
        if has_escapes {
            return serde_json::from_slice(quoted).ok().map(Cow::Owned);
        }
        std::str::from_utf8(&inside[..at]).ok().map(Cow::Borrowed)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        let (quoted, rest) = self.0.split_at_checked(38)?;
        self.0 = rest;
        Uuid::try_parse_ascii(quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()
    }

    fn ids(&mut self) -> Option<Vec<Settled>> {
        let mut ids = Vec::new();
        self.0 = self.0.strip_prefix(b"[")?;
        loop {
            ids.push(EffectId::from(self.uuid()?).into());
            if let Some(rest) = self.0.strip_prefix(b"]") {
                self.0 = rest;
                return (ids.len() <= IDS_MAX).then_some(ids);
            }
            self.0 = self.0.strip_prefix(b",")?;
        }
    }
}
