//! What a crash let through: the records behind the last that is known to be
//! durable.
//!
//! They can be read, but perhaps from memory only: a sync of their file may have
//! failed before the crash, and the next one would tell nothing of it. So they
//! count as just written, and go to the next segment with the rest.

use std::io;

use super::super::super::fold::Place;
use super::super::super::lines::Lines;
use super::super::super::record::{self, Frame, Payload, Salt};
use super::super::super::report::Report;
use super::super::super::scan::{self, OlderFormat};
use super::super::super::segment::Segment;
use super::super::super::storage::Storage;
use super::super::active::HEADERS;
use super::super::batch::{Batch, Change, Moved};

/// See the module.
pub(super) struct Tail {
    /// The last record before it, and its checksum.
    pub(super) durable: u64,
    pub(super) durable_crc: u32,
    pub(super) batch: Batch,
    /// The last record of it.
    last: u64,
}

impl Tail {
    /// Of the last segment; `None` if that cannot be told, because it is damaged
    /// there.
    pub(super) fn of<S: Storage>(
        storage: &S,
        last: &Segment,
        report: &Report,
        older: &[OlderFormat],
    ) -> io::Result<Option<Self>> {
        // A segment has its name only once it is durable with its headers.
        let durable = report.durable_seq.max(last.first + HEADERS - 1);
        let file = storage.open(&last.name())?;
        let mut lines = Lines::new(&file);
        let mut tail: Option<Self> = None;
        while let Some(line) = lines.next()? {
            let Some((text, frame)) = scan::current(line.bytes, Salt::new(last.salt), older) else {
                match &tail {
                    None => continue,
                    // The torn end, which could not be cut off.
                    Some(tail) if tail.last == report.last_seq => break,
                    // Records may stand in it that only a scan finds.
                    Some(_) => return Ok(None),
                }
            };
            if frame.q < durable {
                continue;
            }
            match &mut tail {
                None if frame.q == durable => {
                    tail = Some(Self {
                        durable,
                        durable_crc: frame.crc,
                        batch: Batch::default(),
                        last: durable,
                    });
                }
                Some(tail) if frame.q <= report.last_seq => {
                    let place = Place {
                        segment: last.id,
                        offset: u32::try_from(line.offset).unwrap_or(u32::MAX),
                        length: u32::try_from(line.bytes.len()).unwrap_or(u32::MAX),
                    };
                    tail.take(&text, &frame, place);
                }
                _ => return Ok(None),
            }
        }
        Ok(tail)
    }

    fn take(&mut self, line: &[u8], frame: &Frame, place: Place) {
        self.last = frame.q;
        let id = frame.id.into();
        let Some(record) = record::parse(line, frame) else {
            return;
        };
        let change = match record.payload {
            Payload::Effect(effect) if effect.n == frame.q => Change::Open(id),
            // A copy: what it was made of may be all that is durable.
            Payload::Effect(_) => Change::Move(Moved::Effect(id), place),
            Payload::Done(ids) => Change::Settle(ids),
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
        self.batch.carry_over(line, change, place);
    }
}
