//! Reading one segment: which bytes are records, and which are not.
//!
//! Believes nothing but checksums and numbers. A line that is no valid record
//! is set aside and reading goes on with the next; where an LF was damaged, the
//! two records it divided are found all the same. Numbers, not checksums, tell
//! what is missing.

use std::borrow::Cow;
use std::io;

use memchr::memmem;

use super::lines::Lines;
use super::record::{self, Frame, Kind, Record, Salt};
use super::storage::StoredFile;

/// Records that may be looked for inside one bad line.
const MARKS_MAX: usize = 16;

/// Records that are asked for a lost salt.
const SALTS_MAX: usize = 1024;

/// A run of NULs this long was never written: no record has any.
const HOLE: [u8; 16] = [0; 16];

/// A version of the format before ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct OlderFormat {
    /// Makes a whole line of that version the line of ours that says the same,
    /// under the same salt and number. `None` if it is no such line.
    pub(super) upgrade: fn(line: &[u8], salt: Option<Salt>) -> Option<Vec<u8>>,
}

/// The versions before ours that are still read. There is none yet: version 1
/// is the first that was ever written.
pub(super) const OLDER: &[OlderFormat] = &[];

/// The line of our version that `line` is, or is made to be.
pub(super) fn current<'a>(
    line: &'a [u8],
    salt: Salt,
    older: &[OlderFormat],
) -> Option<(Cow<'a, [u8]>, Frame)> {
    if let Some(frame) = record::frame(line, salt) {
        return Some((Cow::Borrowed(line), frame));
    }
    let upgraded = |older: &OlderFormat| (older.upgrade)(line, Some(salt));
    let line = older.iter().find_map(upgraded)?;
    let frame = record::frame(&line, salt)?;
    Some((Cow::Owned(line), frame))
}

/// A valid record.
pub(super) struct Found<'a> {
    pub(super) frame: Frame,
    pub(super) record: Record<'a>,
    /// In our format, without its LF.
    pub(super) line: &'a [u8],
    pub(super) offset: u64,
    /// Where it stands, without its LF.
    pub(super) length: u32,
    /// The record before it, as far as that can be read, and its checksum.
    pub(super) before: (u64, u32),
}

/// A range that is no record, before it is known what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) expected: u64,
    /// The record after it.
    pub(super) next: Option<u64>,
    /// Whether the disk never filled it.
    pub(super) is_hole: bool,
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The disk failed at this offset.
    Read(u64, std::io::Error),
    /// A whole record of a version we do not know.
    Newer(u64, u64),
    /// A whole record of our version whose kind or fields we do not know.
    Unknown(u64),
}

/// What was found out about a segment.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) gaps: Vec<Gap>,
    /// The number the next record would have.
    pub(super) expected: u64,
    /// The checksum of the last record.
    pub(super) last_crc: u32,
    pub(super) salt: Option<u64>,
    pub(super) records: u64,
    pub(super) superseded: u64,
    /// The highest `s`.
    pub(super) durable: u64,
    /// Where the last whole record ends.
    pub(super) good_end: u64,
    /// The segment before this one, as the header remembers it.
    pub(super) before: Option<(u64, u32)>,
    /// Whether the last record closes the journal.
    pub(super) is_closed: bool,
}

/// Where reading a segment begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The number of its first record.
    pub(super) first: u64,
    /// Records up to this one are not looked into, and do not count.
    pub(super) known: u64,
    /// Records with this number or a higher one were written again elsewhere.
    pub(super) superseded_from: u64,
    /// Bytes from here on are not read.
    pub(super) end: u64,
    /// Its salt, where its headers do not tell it.
    pub(super) salt: Option<Salt>,
}

/// Reads `file` and hands every record that counts to `each`.
pub(super) fn scan<F: StoredFile>(
    file: &F,
    bounds: Bounds,
    older: &[OlderFormat],
    each: &mut dyn FnMut(Found<'_>),
) -> Result<Scanned, ScanError> {
    let mut lines = Lines::new(file);
    let mut scan = Scan {
        bounds,
        older,
        each,
        salt: bounds.salt,
        bad: None,
        done: Scanned {
            expected: bounds.first,
            ..Scanned::default()
        },
    };
    loop {
        let offset = lines.offset();
        if bounds.end <= offset {
            break;
        }
        let line = lines.next().map_err(|e| ScanError::Read(offset, e))?;
        let Some(line) = line else { break };
        // An end may be inside of what reads as one line.
        let length = line.length.min(bounds.end - offset);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = &line.bytes[..line.bytes.len().min(bytes)];
        scan.line(offset, bytes, length)?;
    }
    scan.flush(None);
    Ok(scan.done)
}

struct Scan<'s> {
    bounds: Bounds,
    older: &'s [OlderFormat],
    each: &'s mut dyn FnMut(Found<'_>),
    salt: Option<Salt>,
    bad: Option<Bad>,
    done: Scanned,
}

/// Bytes that are no record, so far.
struct Bad {
    offset: u64,
    end: u64,
    is_hole: bool,
}

impl Scan<'_> {
    fn line(&mut self, offset: u64, line: &[u8], length: u64) -> Result<(), ScanError> {
        let end = offset + length;
        // A record that the disk has without its LF may be followed by more.
        if self.take(offset, line)? {
            self.done.good_end = end;
            return Ok(());
        }
        let covered = self.merged(offset, line)?;
        if line.is_empty() || covered < line.len() {
            self.set_aside(offset + covered as u64, &line[covered..], end);
        } else {
            self.done.good_end = end;
        }
        Ok(())
    }

    /// Takes the records that stand in one line because an LF was damaged;
    /// what stands between them is no record. Returns how far they reach.
    fn merged(&mut self, offset: u64, line: &[u8]) -> Result<usize, ScanError> {
        let mut covered = 0;
        let marks = marks(line);
        for (at, &start) in marks.iter().enumerate() {
            let Some(stop) = self.merged_end(line, start, &marks[at + 1..]) else {
                continue;
            };
            // The one byte that was an LF is nobody's loss.
            let is_lf = 0 < covered && start == covered + 1;
            if start < covered {
                continue;
            }
            if covered < start && !is_lf {
                let bytes = &line[covered..start];
                self.set_aside(offset + covered as u64, bytes, offset + start as u64);
            }
            if self.take(offset + start as u64, &line[start..stop])? {
                covered = stop;
                self.done.good_end = offset + stop as u64;
            }
        }
        Ok(covered)
    }

    /// Where the record that begins at `start` ends: right before the next, or
    /// before the damaged LF between them.
    fn merged_end(&self, line: &[u8], start: usize, later: &[usize]) -> Option<usize> {
        let stops = later.iter().flat_map(|&mark| [mark - 1, mark]);
        let mut stops = stops.chain([line.len()]);
        stops.find(|&stop| start < stop && self.is_record(&line[start..stop]))
    }

    fn is_record(&self, line: &[u8]) -> bool {
        self.salt
            .is_some_and(|salt| record::frame(line, salt).is_some())
            || (self.salt.is_none() && record::header_salt(line).is_some())
    }

    /// Takes `line` if it is a record that may come now.
    fn take(&mut self, offset: u64, line: &[u8]) -> Result<bool, ScanError> {
        let salt = self.salt.or_else(|| self.header_salt(line));
        if let Some(frame) = salt.and_then(|salt| record::frame(line, salt)) {
            return self.accept(offset, line, frame, salt);
        }
        if self.salt.is_some_and(|salt| record::is_unknown(line, salt)) {
            return Err(ScanError::Unknown(offset));
        }
        if let Some(version) = record::newer_version(line, self.salt) {
            return Err(ScanError::Newer(offset, version));
        }
        for older in self.older {
            let Some(upgraded) = (older.upgrade)(line, self.salt) else {
                continue;
            };
            let salt = self.salt.or_else(|| self.header_salt(&upgraded));
            if let Some(frame) = salt.and_then(|salt| record::frame(&upgraded, salt)) {
                let length = line.len();
                return self.accept_as(offset, length, &upgraded, frame, salt);
            }
        }
        Ok(false)
    }

    /// The salt, if `line` is a header of this very segment.
    fn header_salt(&self, line: &[u8]) -> Option<Salt> {
        let salt = record::header_salt(line)?;
        let q = record::frame(line, salt)?.q;
        (self.bounds.first..=self.bounds.first + 1)
            .contains(&q)
            .then_some(salt)
    }

    fn accept(
        &mut self,
        offset: u64,
        line: &[u8],
        frame: Frame,
        salt: Option<Salt>,
    ) -> Result<bool, ScanError> {
        self.accept_as(offset, line.len(), line, frame, salt)
    }

    fn accept_as(
        &mut self,
        offset: u64,
        length: usize,
        line: &[u8],
        frame: Frame,
        salt: Option<Salt>,
    ) -> Result<bool, ScanError> {
        if frame.q < self.done.expected {
            return Ok(false);
        }
        if frame.q <= self.bounds.known {
            (self.done.expected, self.done.last_crc) = (frame.q + 1, frame.crc);
            self.bad = None;
            return Ok(true);
        }
        let Some(record) = record::parse(line, &frame) else {
            return Err(ScanError::Unknown(offset));
        };
        self.salt = salt;
        self.done.salt = salt.map(|salt| salt.value);
        if self.bounds.superseded_from <= frame.q {
            self.bad = None;
            self.done.superseded += 1;
            return Ok(true);
        }
        if self.bad.is_some() || self.done.expected < frame.q {
            self.bad.get_or_insert(Bad {
                offset,
                end: offset,
                is_hole: false,
            });
            self.flush(Some(frame.q));
        }
        let before = (self.done.expected.saturating_sub(1), self.done.last_crc);
        self.count(&frame, &record);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        (self.each)(Found {
            frame,
            record,
            line,
            offset,
            length,
            before,
        });
        Ok(true)
    }

    fn count(&mut self, frame: &Frame, record: &Record<'_>) {
        self.done.records += 1;
        self.done.expected = frame.q + 1;
        self.done.last_crc = frame.crc;
        self.done.durable = self.done.durable.max(record.durable.unwrap_or(0));
        self.done.is_closed = frame.kind == Kind::Close;
        if let record::Payload::Header {
            prev_last,
            prev_crc,
            ..
        } = record.payload
        {
            self.done.before.get_or_insert((prev_last, prev_crc));
        }
    }

    fn set_aside(&mut self, offset: u64, bytes: &[u8], end: u64) {
        let is_hole = bytes.first() == Some(&0) || memmem::find(bytes, &HOLE).is_some();
        let bad = self.bad.get_or_insert(Bad {
            offset,
            end,
            is_hole: false,
        });
        bad.end = end;
        bad.is_hole |= is_hole;
    }

    fn flush(&mut self, next: Option<u64>) {
        let Some(bad) = self.bad.take() else { return };
        self.done.gaps.push(Gap {
            offset: bad.offset,
            length: bad.end - bad.offset,
            expected: self.done.expected,
            next,
            is_hole: bad.is_hole,
        });
    }
}

/// The salt of a segment whose headers are lost, as its records tell it.
///
/// `None` if a header can be read: then the file is another segment's.
pub(super) fn lost_salt<F: StoredFile>(file: &F, bounds: Bounds) -> io::Result<Option<Salt>> {
    let mut lines = Lines::new(file);
    let mut told: Vec<(Salt, u64)> = Vec::new();
    while let Some(line) = lines.next()? {
        if record::header_salt(line.bytes).is_some() {
            return Ok(None);
        }
        let Some((salt, frame)) = Salt::behind(line.bytes) else {
            continue;
        };
        if frame.q < bounds.first || SALTS_MAX <= told.len() {
            continue;
        }
        let agrees = |(other, q): &(Salt, u64)| *other == salt && *q < frame.q;
        if told.iter().any(agrees) {
            return Ok(Some(salt));
        }
        told.push((salt, frame.q));
    }
    Ok(None)
}

/// Where in `line` records may begin.
fn marks(line: &[u8]) -> Vec<usize> {
    let found = memmem::find_iter(line, record::OPENING).take(MARKS_MAX);
    let mut marks: Vec<usize> = found.collect();
    if marks.first() != Some(&0) {
        marks.insert(0, 0);
    }
    marks
}
