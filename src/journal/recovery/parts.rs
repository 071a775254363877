//! Reading the segments, one after the other.

use std::io;

use super::super::clock::{self, Clock};
use super::super::error::OpenError;
use super::super::fold::Fold;
use super::super::reading::Reading;
use super::super::record::Payload;
use super::super::scan::{self, Bounds, Found, OlderFormat, ScanError, Scanned};
use super::super::segment::{self, HEADERS, Segment};
use super::super::storage::{Listed, Storage, StoredFile};
use super::Known;

/// One segment as it was read.
pub(super) struct Part {
    pub(super) segment: Segment,
    pub(super) scanned: Scanned,
    /// Where reading stopped, and its file ends.
    pub(super) read_to: u64,
}

impl Part {
    /// The highest record that it says was synced. What cannot be read at all
    /// says nothing, not even by its name.
    pub(super) fn durable(&self) -> u64 {
        let headers = self.segment.first + HEADERS - 1;
        let headers = if 0 < self.scanned.records { headers } else { 0 };
        self.scanned.durable.max(headers)
    }

    /// Whether not one record of it can be read.
    pub(super) fn is_unreadable(&self) -> bool {
        self.scanned.records + self.scanned.superseded == 0
    }
}

/// The segments in order, and what looks like one and is none.
pub(super) fn segment_files<S: Storage>(
    storage: &S,
) -> Result<(Vec<Segment>, Vec<Box<str>>), OpenError> {
    let listed = storage
        .list("")
        .map_err(|source| io_error(storage, "list journal", "", source))?;
    let is_segment = |file: &&Listed| file.is_file && segment::first_of(&file.name).is_some();
    let (segments, others): (Vec<_>, Vec<_>) = listed.iter().partition(is_segment);
    let alike = others.iter().filter(|file| file.name.starts_with("seg-"));
    let mut skipped: Vec<Box<str>> = alike.map(|file| file.name.as_str().into()).collect();
    skipped.sort_unstable();
    let mut files: Vec<Segment> = segments
        .iter()
        .filter_map(|file| {
            let (first, bytes) = (segment::first_of(&file.name)?, file.bytes);
            let segment = Segment::default();
            Some(Segment {
                first,
                bytes,
                ..segment
            })
        })
        .collect();
    files.sort_by_key(|file| file.first);
    for (id, file) in (0..).zip(&mut files) {
        file.id = id;
    }
    Ok((files, skipped))
}

fn io_error<S: Storage>(
    storage: &S,
    doing: &'static str,
    name: &str,
    source: io::Error,
) -> OpenError {
    let path = storage.path(name);
    OpenError::Io {
        doing,
        path,
        source,
    }
}

/// What is read, and by whose clock.
pub(super) struct Source<'a, S> {
    pub(super) storage: &'a S,
    pub(super) older: &'a [OlderFormat],
    pub(super) clock: Clock,
}

pub(super) fn read_parts<S: Storage>(
    from: &Source<'_, S>,
    files: &[Segment],
    known: &Known,
    fold: &mut Fold,
    reading: &Reading,
) -> Result<Vec<Part>, OpenError> {
    let mut parts = Vec::with_capacity(files.len());
    let mut read = 0;
    let mut left: u64 = files.iter().map(|file| file.bytes).sum();
    for (at, file) in files.iter().enumerate() {
        let later = &files[at + 1..];
        let mut next = later.iter().map(|next| next.first);
        let next = next.find(|next| !known.unreadable.contains(next));
        let end = known.cut.filter(|_| later.is_empty());
        let bounds = Bounds {
            first: file.first,
            known: 0,
            superseded_from: next.unwrap_or(u64::MAX),
            end: end.unwrap_or(file.bytes),
            salt: None,
        };
        parts.push(read_part(from, file, bounds, (fold, reading))?);
        read += file.bytes;
        left -= file.bytes;
        fold.live.expect(read, left);
    }
    Ok(parts)
}

fn read_part<S: Storage>(
    from: &Source<'_, S>,
    file: &Segment,
    bounds: Bounds,
    (fold, reading): (&mut Fold, &Reading),
) -> Result<Part, OpenError> {
    let Source { storage, older, .. } = *from;
    let name = file.name();
    let path = || storage.path(&name);
    let open = storage
        .open(&name)
        .map_err(|source| io_error(storage, "open journal segment", &name, source))?;
    let mut segment = file.clone();
    let mut each = |mut found: Found<'_>| {
        let bytes = u64::from(found.length);
        let at_ms = clock::shifted(found.record.t, segment.shift_ms);
        match &found.record.payload {
            Payload::Header { clock, .. } => {
                segment.shift_ms = clock.map_or(0, |clock| from.clock.ahead_of(clock));
            }
            Payload::Done(ids) => segment.settle(ids.len(), bytes, at_ms),
            Payload::Discard => segment.settle(1, bytes, at_ms),
            _ => {}
        }
        if found.record.payload.settles() {
            found.record.t = at_ms;
        }
        reading.count_record(u64::from(found.length) + 1);
        fold.apply(found, file.id);
    };
    let scanned = scan_all(&open, bounds, older, &mut each).map_err(|error| match error {
        ScanError::Read(offset, source) => OpenError::Read {
            path: path(),
            offset,
            source,
        },
        ScanError::Newer(offset, version) => OpenError::NewerVersion {
            path: path(),
            offset,
            version,
        },
        ScanError::Unknown(offset) => OpenError::UnknownRecord {
            path: path(),
            offset,
        },
    })?;
    segment.salt = scanned.salt.unwrap_or(0);
    Ok(Part {
        segment,
        scanned,
        read_to: bounds.end,
    })
}

/// Reads a segment; if both its headers are lost, with the salt that its records
/// tell.
fn scan_all<F: StoredFile>(
    file: &F,
    bounds: Bounds,
    older: &[OlderFormat],
    each: &mut dyn FnMut(Found<'_>),
) -> Result<Scanned, ScanError> {
    let scanned = scan::scan(file, bounds, older, each)?;
    if scanned.salt.is_some() || bounds.end == 0 {
        return Ok(scanned);
    }
    match scan::lost_salt(file, bounds).map_err(|source| ScanError::Read(0, source))? {
        None => Ok(scanned),
        salt => scan::scan(file, Bounds { salt, ..bounds }, older, each),
    }
}
