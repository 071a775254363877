//! What a crash let through: the records behind the last that is known to be
//! durable.
//!
//! They can be read, but perhaps from memory only: a sync of their file may have
//! failed before the crash, and the next one would tell nothing of it. So they
//! count as just written, and go to the next segment with the rest.
//!
//! So do those behind damage: what was lost there is kept aside and told of by
//! then. Where the disk did not take that, only their segment tells of it; and where
//! no header can be read, nothing durable is before them: there they stay, and count
//! as durable.

use std::borrow::Cow;
use std::io;

use super::super::super::clock;
use super::super::super::fold::Place;
use super::super::super::record::{self, Body, Payload, Salt};
use super::super::super::report::Report;
use super::super::super::scan::{self, Bounds, Found, OlderFormat, ScanError};
use super::super::super::segment::Segment;
use super::super::super::storage::{Storage, StoredFile as _};
use super::super::active::HEADERS;
use super::super::batch::{Batch, Change, Moved};

/// See the module.
pub(super) struct Tail {
    /// The last record before it, and its checksum.
    pub(super) durable: u64,
    pub(super) durable_crc: u32,
    pub(super) batch: Batch,
    /// How many are missing in it, or right before it.
    missing: u64,
    /// What has to be added to its times where it is written again.
    shift_ms: i64,
}

impl Tail {
    /// Of the last segment; `None` if there is none, or it has to stay.
    pub(super) fn of<S: Storage>(
        storage: &S,
        last: &Segment,
        report: &Report,
        older: &[OlderFormat],
    ) -> io::Result<Option<Self>> {
        let file = storage.open(&last.name())?;
        let bounds = Bounds {
            first: last.first,
            // A segment has its name only once it is durable with its headers.
            known: report.durable_seq.max(last.first + HEADERS - 1),
            superseded_from: u64::MAX,
            end: file.bytes()?,
            salt: Some(Salt::new(last.salt)),
        };
        let mut tail: Option<Self> = None;
        let mut each = |found: Found<'_>| {
            // Else it is behind the torn end, which could not be cut off.
            if found.frame.q <= report.last_seq {
                let tail = tail.get_or_insert_with(|| Self::behind(found.before, last.shift_ms));
                tail.take(&found, last.id);
            }
        };
        match scan::scan(&file, bounds, older, &mut each) {
            Ok(_) => Ok(tail.filter(|tail| tail.may_move(last))),
            Err(ScanError::Read(_, error)) => Err(error),
            Err(ScanError::Newer(..) | ScanError::Unknown(_)) => Ok(None),
        }
    }

    fn behind((durable, durable_crc): (u64, u32), shift_ms: i64) -> Self {
        Self {
            durable,
            durable_crc,
            batch: Batch::default(),
            missing: 0,
            shift_ms,
        }
    }

    /// Whether the next segment can have it. Where not one header can be read it
    /// would get a number that leaves the place of one uncovered. And there its
    /// records stand closer together, while effects keep the number by which they
    /// are in order: with more missing than the headers make up for, what comes
    /// next would get a lower one.
    fn may_move(&self, last: &Segment) -> bool {
        let is_told = self.missing == 0 || !last.is_unkept;
        last.first <= self.durable && self.missing <= HEADERS && is_told
    }

    fn take(&mut self, found: &Found<'_>, segment: u32) {
        let Found { frame, before, .. } = found;
        self.missing += frame.q.saturating_sub(before.0 + 1);
        let id = frame.id.into();
        let place = Place {
            segment,
            offset: u32::try_from(found.offset).unwrap_or(u32::MAX),
            length: found.length,
        };
        let change = match &found.record.payload {
            Payload::Effect(effect) if effect.n == frame.q => Change::Open(id),
            // A copy: what it was made of may be all that is durable.
            Payload::Effect(_) => Change::Move(Moved::Effect(id), place),
            Payload::Done(ids) => Change::Settle(ids.clone()),
            Payload::Failed(_) => Change::Fail(id),
            Payload::Requeue => Change::Requeue(id, None),
            Payload::Discard => Change::Discard(id, None),
            Payload::Note(text) => Change::Note {
                id: frame.id,
                is_gone: text.is_empty(),
                before: None,
            },
            Payload::Header { .. } | Payload::Close => return,
        };
        let line = restated(found, self.shift_ms);
        self.batch.carry_over(&line, change, place);
    }
}

/// Its line, saying by another clock when something was settled; its number and its
/// checksum it gets with its place.
fn restated<'a>(found: &Found<'a>, shift_ms: i64) -> Cow<'a, [u8]> {
    let body = match &found.record.payload {
        Payload::Done(settled) => Body::Done(settled),
        Payload::Discard => Body::Discard(found.frame.id.into()),
        _ => return Cow::Borrowed(found.line),
    };
    if shift_ms == 0 {
        return Cow::Borrowed(found.line);
    }
    let (mut line, t) = (Vec::new(), clock::shifted(found.record.t, shift_ms));
    record::encode(&mut line, Salt::default(), found.frame.q, None, t, body);
    _ = line.pop();
    Cow::Owned(line)
}
