//! Copying what is needed of a segment to the one that is written.

use std::io;

use super::super::super::clock;
use super::super::super::entry::Settled;
use super::super::super::fold::Place;
use super::super::super::record::{self, Frame, Kind, Payload, RECORD_BYTES_MAX, Salt};
use super::super::super::scan;
use super::super::super::segment::Segment;
use super::super::super::storage::{Storage, StoredFile, read_exact};
use super::super::batch::Change;
use super::super::core::Core;
use super::super::now::Now;
use super::Source;
use crate::failpoint::{self, Point};
use crate::protocol::id::EffectId;

/// Bytes read between two looks at the queue.
const CHUNK: usize = 256 << 10;

/// What has become of the segments before the one that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Before {
    /// They went: it is the oldest, and what it says of others says nothing any more.
    Gone,
    /// They are read again with the next start, and the copies after them.
    There,
}

impl<S: Storage> Core<S> {
    /// Whether there is more.
    pub(super) fn copy_piece(&mut self, source: &mut Source, now: Now) -> io::Result<bool> {
        let Some(segment) = self.index.segment(source.id).cloned() else {
            return Ok(false);
        };
        let left = segment.bytes.saturating_sub(source.offset);
        if left == 0 {
            return Ok(false);
        }
        let file = self.storage.open(&segment.name())?;
        let piece = whole_lines(&file, source.offset, left)?;
        self.batch.clear();
        let mut at = 0;
        let ends = memchr::memchr_iter(b'\n', &piece);
        for end in ends.chain((!piece.ends_with(b"\n")).then_some(piece.len())) {
            let offset = source.offset + at as u64;
            self.copy_line((&segment, Before::Gone), offset, &piece[at..end], now);
            at = piece.len().min(end + 1);
        }
        source.offset += at as u64;
        let written = self.write(now).whole();
        // The source may go once its copies are durable.
        written.and(self.sync(now)).map_err(io::Error::other)?;
        failpoint::reach(Point::CopiesSynced);
        Ok(true)
    }

    /// Copies one line of a segment if it is needed, for itself or for what it says of
    /// those before.
    pub(in super::super) fn copy_line(
        &mut self,
        (segment, before): (&Segment, Before),
        offset: u64,
        line: &[u8],
        now: Now,
    ) {
        let current = scan::current(line, Salt::new(segment.salt), self.older);
        let Some((line, frame)) = current else {
            return;
        };
        let place = Place {
            segment: segment.id,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            length: u32::try_from(line.len()).unwrap_or(u32::MAX),
        };
        let stamp = self.stamp(now);
        if let Some(moved) = self.index.needed_at(frame.id, place) {
            return self.batch.copy(&line, Change::Move(moved, place), stamp);
        }
        if before == Before::There && takes_back(&line, &frame) {
            return self.batch.copy(&line, Change::Nothing, stamp);
        }
        let settles = matches!(frame.kind, Kind::Done | Kind::Operator);
        let is_worth_it = before == Before::There || self.worth(now).is_remembered(segment);
        if settles && is_worth_it {
            let (mut settled, at_ms) = settled_by(&line, &frame);
            if before == Before::Gone {
                // Under the same id there may be another effect by now.
                settled.retain(|settled| !self.index.holds(settled.id));
            }
            let at_ms = clock::shifted(at_ms, segment.shift_ms);
            self.batch.retell(&settled, at_ms, stamp);
        }
    }
}

/// Whether a line takes back what an earlier one said of an effect that is not
/// settled, or of a note.
fn takes_back(line: &[u8], frame: &Frame) -> bool {
    let may = matches!(frame.kind, Kind::Note | Kind::Operator);
    let payload = || Some(record::parse(line, frame)?.payload);
    may && match payload() {
        Some(Payload::Note(text)) => text.is_empty(),
        Some(Payload::Requeue) => true,
        _ => false,
    }
}

/// What a record settles, and when.
fn settled_by(line: &[u8], frame: &Frame) -> (Vec<Settled>, u64) {
    let Some(record) = record::parse(line, frame) else {
        return (Vec::new(), 0);
    };
    let settled = match record.payload {
        Payload::Done(settled) => settled,
        Payload::Discard => vec![EffectId::from(frame.id).into()],
        _ => Vec::new(),
    };
    (settled, record.t)
}

/// The whole lines from `offset` on, as many as one piece has; the last line of
/// the file counts as whole.
fn whole_lines<F: StoredFile>(file: &F, offset: u64, left: u64) -> io::Result<Vec<u8>> {
    for size in [CHUNK, RECORD_BYTES_MAX + 1] {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        let mut piece = read_exact(file, offset, size)?;
        if size as u64 == left {
            return Ok(piece);
        }
        if let Some(end) = memchr::memrchr(b'\n', &piece) {
            piece.truncate(end + 1);
            return Ok(piece);
        }
    }
    Err(io::Error::other("a line is longer than any record"))
}
