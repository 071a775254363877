//! What a journal holds, read from its files alone.
//!
//! [`read`] changes nothing; [`repair()`] does what reading asked for. Both give
//! the same answer however often they run, and whenever the one before was cut
//! short.
//!
//! 1. The segments are read in the order of their numbers; a failing disk ends
//!    the attempt, for it is no end of a log.
//! 2. Records of a segment from the next segment's first number on were
//!    written again there, because their sync had failed: they do not count.
//!    Where nothing of that next one can be read, they are all there is, and do.
//! 3. `W`, the highest `s` anywhere, divides loss from what a crash may do. A
//!    range at the end of the last segment is torn. So is everything from a
//!    hole on, a range the disk never filled, if it is above `W`: what follows
//!    it was never promised, and without it would be no beginning of the log.
//!    Any other damage costs what it covers and no more.
//! 4. Damaged bytes are copied aside before the torn end is cut off, unless no
//!    header tells the segment's salt: what is cut might be what does. Damage
//!    elsewhere stays where it is; a new segment is begun in any case.

mod damage;
mod parts;
mod repair;

use std::collections::BTreeSet;

use super::clock::Clock;
use super::error::OpenError;
use super::fold::Fold;
use super::reading::Reading;
use super::report::{Class, Damage, Report};
use super::scan::OlderFormat;
use super::segment::Segment;
use super::storage::Storage;

use damage::damage_of;
pub(super) use damage::{each_chunk, hex};
use parts::{Part, Source, read_parts, segment_files};
pub(super) use repair::{Repaired, repair};

/// Settled ids that are remembered at most.
pub(super) const DONE_MAX: usize = 262_144;

/// A journal that was read, and what to do about its end.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) fold: Fold,
    /// In order; the last may have a torn end.
    pub(super) segments: Vec<Segment>,
    pub(super) report: Report,
    /// The checksum of the last record.
    pub(super) last_crc: u32,
    /// Where the last segment has to be cut, if it has to and may be.
    cut: Option<u64>,
    /// How many segments at the end cannot be read at all.
    unreadable: usize,
}

impl Read {
    /// The last segment of which anything can be read.
    pub(super) fn last_readable(&self) -> Option<&Segment> {
        // Without a record nobody knows its salt.
        self.segments.iter().rev().find(|segment| segment.salt != 0)
    }
}

/// What one reading has found, and the next has to know. It grows with each,
/// and only so far: there is a last one.
#[derive(Default)]
struct Known {
    /// Bytes of the last segment from here on do not count.
    cut: Option<u64>,
    /// The first numbers of segments of which no record can be read: nothing
    /// was written again there.
    unreadable: BTreeSet<u64>,
}

impl Known {
    /// Whether that is more than was known, so that it is to be read again.
    fn learn(&mut self, parts: &[Part], durable: u64) -> bool {
        let unreadable = parts.iter().filter(|part| part.is_unreadable());
        let unreadable: BTreeSet<u64> = unreadable.map(|part| part.segment.first).collect();
        let has_superseded = parts.iter().any(|part| 0 < part.scanned.superseded);
        if has_superseded && !unreadable.is_subset(&self.unreadable) {
            self.unreadable.extend(unreadable);
            return true;
        }
        // Nothing behind a hole counts.
        let hole = parts.last().and_then(|last| hole(last, durable));
        let hole = hole.filter(|hole| self.cut.is_none_or(|cut| *hole < cut));
        self.cut = hole.or(self.cut);
        hole.is_some()
    }
}

/// Reads the whole journal.
pub(super) fn read<S: Storage>(
    storage: &S,
    done_since: (u64, Clock),
    older: &[OlderFormat],
) -> Result<Read, OpenError> {
    read_watched(storage, done_since, older, &Reading::default())
}

/// As [`read`]; `reading` says meanwhile how far it is.
pub(super) fn read_watched<S: Storage>(
    storage: &S,
    (done_since_ms, clock): (u64, Clock),
    older: &[OlderFormat],
    reading: &Reading,
) -> Result<Read, OpenError> {
    let (files, skipped) = segment_files(storage)?;
    let mut known = Known::default();
    loop {
        reading.begin(files.iter().map(|file| file.bytes).sum());
        let mut fold = Fold::remembering_since(done_since_ms);
        let from = Source {
            storage,
            older,
            clock,
        };
        let parts = read_parts(&from, &files, &known, &mut fold, reading)?;
        let durable = parts.iter().map(Part::durable).max().unwrap_or(0);
        if known.learn(&parts, durable) {
            continue;
        }
        let mut read = finish(storage, fold, parts, durable)?;
        read.report.skipped = skipped;
        return Ok(read);
    }
}

fn hole(last: &Part, durable: u64) -> Option<u64> {
    let gaps = &last.scanned.gaps;
    let hole = gaps.iter().find(|g| g.is_hole && durable < g.expected)?;
    hole.next.is_some().then_some(hole.offset)
}

fn finish<S: Storage>(
    storage: &S,
    fold: Fold,
    parts: Vec<Part>,
    durable: u64,
) -> Result<Read, OpenError> {
    let mut report = Report {
        durable_seq: durable,
        ..Report::default()
    };
    for (at, part) in parts.iter().enumerate() {
        report.segments += 1;
        report.bytes += part.segment.bytes;
        report.records += part.scanned.records;
        report.superseded += part.scanned.superseded;
        damage_of(storage, &parts, at, &mut report)?;
    }
    let last = parts.last();
    let torn = report.damage.last().filter(|d| {
        let is_last = last.is_some_and(|last| *d.seg == *last.segment.name());
        is_last && d.class == Class::Torn && d.next_q.is_none()
    });
    // Where no header tells the salt its records do: what is cut might be needed
    // to find it again.
    let has_header = last.is_some_and(|last| last.scanned.before.is_some());
    let cut = torn.filter(|_| has_header).map(|torn| torn.off);
    let at_end = parts.iter().rev();
    let unreadable = at_end.take_while(|part| part.is_unreadable()).count();
    let is_end = |d: &Damage| {
        let is_last = last.is_some_and(|last| *d.seg == *last.segment.name());
        is_last && d.class == Class::Corrupt && d.next_q.is_none()
    };
    report.has_lost_its_end = 0 < unreadable || report.damage.last().is_some_and(is_end);
    let last_whole = parts.iter().rev().find(|part| !part.is_unreadable());
    report.torn_bytes = torn.map_or(0, |torn| torn.len);
    report.last_seq = last_whole
        .or(last)
        .map_or(0, |last| last.scanned.expected.saturating_sub(1));
    report.clean = last.is_some_and(|last| last.scanned.is_closed) && cut.is_none();
    let dead = |held: &&super::fold::Held| held.failed.is_some();
    report.live = fold.live.len() as u64;
    report.dead = fold.live.values().filter(dead).count() as u64;
    report.done = fold.done(DONE_MAX).len() as u64;
    let with_records = parts.iter().rev().find(|part| 0 < part.scanned.records);
    let last_crc = with_records.map_or(0, |part| part.scanned.last_crc);
    let mut segments: Vec<Segment> = parts.into_iter().map(|part| part.segment).collect();
    keep_live(&fold, &mut segments);
    Ok(Read {
        fold,
        segments,
        report,
        last_crc,
        cut,
        unreadable,
    })
}

fn keep_live(fold: &Fold, segments: &mut [Segment]) {
    let places = fold.live.values().flat_map(|h| [Some(h.place), h.failed]);
    let notes = fold.notes.values().map(|(_, place)| Some(*place));
    for place in places.chain(notes).flatten() {
        segments[place.segment as usize].keep(place);
    }
}
