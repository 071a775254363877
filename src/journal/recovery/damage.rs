//! What is wrong with the files, and what that means: torn, stray, or lost.

use std::cell::OnceCell;
use std::io;

use sha2::{Digest as _, Sha256};

use super::super::error::OpenError;
use super::super::report::{Class, Damage, Report};
use super::super::scan::Gap;
use super::super::segment::HEADERS;
use super::super::storage::{Storage, StoredFile};
use super::Part;

/// Bytes hashed or copied at once.
const CHUNK: usize = 256 << 10;

/// What is wrong with one segment and with its joint to the next.
pub(super) fn damage_of<S: Storage>(
    storage: &S,
    parts: &[Part],
    at: usize,
    report: &mut Report,
) -> Result<(), OpenError> {
    let part = &parts[at];
    let next = parts.get(at + 1);
    let damaged = Damaged::new(storage, part);
    for gap in &part.scanned.gaps {
        let at_end = gap.next.is_none();
        let following = gap.next.or(next.map(follows_on));
        let missing = following
            .filter(|following| gap.expected < *following)
            .map(|following| (gap.expected, following - 1));
        // A crash never tears those: they were synced before the name was given.
        let is_of_headers = gap.expected < part.segment.first + HEADERS;
        let class = match (missing, next) {
            // Whatever its name was taken to mean since.
            _ if part.is_unreadable() => Class::Corrupt,
            (None, None) if at_end && !is_of_headers => Class::Torn,
            (None, Some(_)) => Class::Stray,
            (None, None) if !at_end => Class::Stray,
            (Some((first, _)), _) if at_end && !is_of_headers && report.durable_seq < first => {
                Class::Torn
            }
            _ => Class::Corrupt,
        };
        let damage = damaged.at(gap, missing, class)?;
        report.damage.push(damage);
    }
    let is_missed = next.is_some_and(|next| part.segment.first < follows_on(next));
    if part.segment.bytes == 0 && !is_missed {
        report.damage.push(emptied(part));
    }
    // Cut at a hole: everything from there on is torn.
    if part.read_to < part.segment.bytes {
        let gap = Gap {
            offset: part.read_to,
            length: part.segment.bytes - part.read_to,
            expected: part.scanned.expected,
            next: None,
            is_hole: true,
        };
        let damage = damaged.at(&gap, None, Class::Torn)?;
        report.damage.push(damage);
    }
    // What cannot be read at all is told of as a whole; its name proves nothing.
    if let Some(next) = next.filter(|next| at + 2 < parts.len() || !next.is_unreadable()) {
        report.damage.extend(joint(part, next, report.durable_seq));
    }
    Ok(())
}

/// It had headers when it was given its name, and they were on disk: no crash
/// leaves it without a byte. A copy that was cut short does, and a hand.
fn emptied(part: &Part) -> Damage {
    Damage {
        seg: part.segment.name().into(),
        off: 0,
        len: 0,
        expected_q: part.segment.first,
        next_q: None,
        missing: None,
        sha256: "".into(),
        class: Class::Corrupt,
    }
}

/// The number of the record before which nothing is missing: the first of the
/// segment, or a lower one that it says it follows. Then a file was lost while
/// it was in use, and what was needed of it stands in this one.
fn follows_on(next: &Part) -> u64 {
    let first = next.segment.first;
    let before = next.scanned.before;
    before.map_or(first, |(last, _)| first.min(last.saturating_add(1)))
}

/// What is wrong between two segments, though no byte is.
fn joint(part: &Part, next: &Part, durable: u64) -> Option<Damage> {
    let scanned = &part.scanned;
    let has_end_gap = scanned.gaps.last().is_some_and(|gap| gap.next.is_none());
    let (expected, following) = (scanned.expected, follows_on(next));
    let missing = (expected < following).then(|| (expected, following - 1));
    let is_foreign = next.scanned.before.is_some_and(|(last, crc)| {
        last + 1 == expected && 0 < scanned.records && crc != scanned.last_crc
    });
    if has_end_gap || (missing.is_none() && !is_foreign) {
        return None;
    }
    let class = match missing {
        Some((first, _)) if durable < first => Class::Torn,
        _ => Class::Corrupt,
    };
    Some(Damage {
        seg: part.segment.name().into(),
        off: part.segment.bytes,
        len: 0,
        expected_q: expected,
        next_q: Some(following),
        missing,
        sha256: "".into(),
        class,
    })
}

/// A segment in which something may be damaged. There may be as many ranges as
/// records: its file is opened once, when first it is needed.
struct Damaged<'a, S: Storage> {
    storage: &'a S,
    name: Box<str>,
    file: OnceCell<S::File>,
}

impl<'a, S: Storage> Damaged<'a, S> {
    fn new(storage: &'a S, part: &Part) -> Self {
        Self {
            storage,
            name: part.segment.name().into(),
            file: OnceCell::new(),
        }
    }

    fn at(
        &self,
        gap: &Gap,
        missing: Option<(u64, u64)>,
        class: Class,
    ) -> Result<Damage, OpenError> {
        let sha256 = match gap.length {
            0 => String::new(),
            length => self
                .hash(gap.offset, length)
                .map_err(|source| OpenError::Read {
                    path: self.storage.path(&self.name),
                    offset: gap.offset,
                    source,
                })?,
        };
        Ok(Damage {
            seg: self.name.clone(),
            off: gap.offset,
            len: gap.length,
            expected_q: gap.expected,
            next_q: gap.next,
            missing,
            sha256: sha256.into(),
            class,
        })
    }

    fn hash(&self, offset: u64, length: u64) -> io::Result<String> {
        let file = if let Some(file) = self.file.get() {
            file
        } else {
            let file = self.storage.open(&self.name)?;
            self.file.get_or_init(|| file)
        };
        let mut hasher = Sha256::new();
        each_chunk(file, offset, length, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hex(&hasher.finalize()))
    }
}

/// Bytes as people compare them.
pub(in crate::journal) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Hands a range of a file over in pieces.
pub(in crate::journal) fn each_chunk<F: StoredFile>(
    file: &F,
    offset: u64,
    length: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let most = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK);
    let mut buffer = vec![0; most];
    let mut done = 0;
    while done < length {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX);
        let part = left.min(most);
        match file.read_at(&mut buffer[..part], offset + done) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                each(&buffer[..count])?;
                done += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
