//! The segment that is written.

use std::io;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::clock::Clock;
use super::super::record::{self, Body, Salt};
use super::super::segment::{self, Segment};
use super::super::stamp::Stamp;
use super::super::storage::{Storage, StoredFile, write_all};
use super::batch::Batch;

pub(super) use super::super::segment::HEADERS;

/// An open segment; what was written ends at `end`.
#[derive(Debug)]
pub(super) struct Active<F> {
    pub(super) id: u32,
    pub(super) salt: Salt,
    pub(super) begun: Instant,
    /// Where its first record behind the headers is.
    start: u64,
    /// Where the next record goes.
    pub(super) end: u64,
    /// Where what was written last begins.
    last: u64,
    /// The checksum of the record before it, when it was begun.
    pub(super) begun_crc: u32,
    file: F,
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) source: io::Error,
    /// Whether the segment ends where it did before.
    pub(super) is_whole: bool,
}

impl<F: StoredFile> Active<F> {
    pub(super) fn file(&self) -> &F {
        &self.file
    }

    /// Whether there is anything in it that another would not have.
    pub(super) fn has_records(&self) -> bool {
        self.start < self.end
    }

    /// Writes all of `bytes`, or nothing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match write_all(&mut self.file, bytes, self.end) {
            Ok(()) => {
                self.last = self.end;
                self.end += bytes.len() as u64;
                Ok(())
            }
            // Else the next line would be glued to the torn one.
            Err(source) => Err(WriteError {
                source,
                is_whole: self.file.truncate(self.end).is_ok(),
            }),
        }
    }

    /// Where what was written last begins.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What begins here counts as written last.
    pub(super) fn set_last(&mut self, last: u64) {
        self.last = last;
    }

    /// Takes away what was written last; returns where the segment ends then.
    pub(super) fn cut_last(&mut self) -> u64 {
        if self.file.truncate(self.last).is_ok() {
            self.end = self.last;
        }
        self.end
    }

    pub(super) fn sync(&mut self) -> (io::Result<()>, Duration) {
        let begun = Instant::now();
        (self.file.sync(), begun.elapsed())
    }
}

/// Why no segment was begun.
#[derive(Debug)]
pub(super) struct BeginError {
    pub(super) source: io::Error,
    /// Whether one is there all the same, or may be after a crash: then nothing
    /// may be added to the segment before it, or that would not count.
    pub(super) is_named: bool,
}

impl From<io::Error> for BeginError {
    fn from(source: io::Error) -> Self {
        let is_named = false;
        Self { source, is_named }
    }
}

/// What a new segment is told of the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The number of its own first record.
    pub(super) first: u64,
    /// The number of the last record that counts; the one before its own, but
    /// where a file is lost and all that was needed of it stands in this one.
    pub(super) last: u64,
    /// Its checksum.
    pub(super) crc: u32,
    /// The last that is known to be on stable storage.
    pub(super) durable: u64,
}

/// Files of segments to be.
#[derive(Debug, Default)]
pub(super) struct Nursery<F> {
    /// Made beforehand: its name, and an empty file.
    next: Option<(String, F)>,
    /// Segments that got their names and were given up before they were used,
    /// oldest first.
    leftovers: Vec<Leftover>,
    /// Whether the names of all segments surely survive a power cut: a newer
    /// one must not be there without those before it.
    has_synced_names: bool,
}

/// A segment of which only the first record counts, if it counts at all: what
/// stands behind it is written again elsewhere, or was refused.
#[derive(Debug)]
struct Leftover {
    segment: Segment,
    /// The checksum of its first record.
    crc: u32,
    /// Whether it was removed, though a crash may bring it back. It is not asked
    /// for again: a disk that fails then would not tell that it is gone.
    is_removed: bool,
}

impl Leftover {
    /// Removes it, if it is there; whether it is gone.
    fn remove<S: Storage>(&self, storage: &S) -> bool {
        let removed = storage.remove(&self.segment.name());
        removed.map_or_else(|e| e.kind() == io::ErrorKind::NotFound, |()| true)
    }
}

/// A segment that was begun.
#[derive(Debug)]
pub(super) struct Begun<F> {
    pub(super) active: Active<F>,
    /// What is before it.
    pub(super) before: Before,
    /// Segments before it of which nothing is needed, and that could not be
    /// removed.
    pub(super) left: Vec<Segment>,
}

impl<F: StoredFile> Nursery<F> {
    pub(super) fn new() -> Self {
        Self {
            next: None,
            leftovers: Vec::new(),
            has_synced_names: false,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.next.is_some()
    }

    /// Whether a segment that was given up is there, or may be after a crash.
    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.is_empty()
    }

    /// Makes the file of the next segment, for when there is nothing to do.
    pub(super) fn prepare<S: Storage<File = F>>(&mut self, storage: &S) -> io::Result<()> {
        let name = format!("next-{}.tmp", storage.fresh_id());
        let file = storage.create(&name)?;
        self.next = Some((name, file));
        Ok(())
    }

    /// Removes what is in the way, newest first. Behind what stays, the next
    /// segment goes on as behind any other: its name is another then.
    ///
    /// Until what was removed is surely gone, a crash may bring it back, and then
    /// what was written elsewhere under its numbers would not count.
    fn clear_way<S: Storage<File = F>>(
        &mut self,
        storage: &S,
        before: Before,
    ) -> io::Result<Before> {
        for left in self.leftovers.iter_mut().rev() {
            left.is_removed = left.is_removed || left.remove(storage);
            if !left.is_removed {
                break;
            }
        }
        if self.has_leftovers() {
            storage.sync_folder("")?;
            self.has_synced_names = true;
        }
        self.leftovers.retain(|left| !left.is_removed);
        Ok(self.leftovers.last().map_or(before, |left| Before {
            first: left.segment.first + 1,
            last: left.segment.first,
            crc: left.crc,
            ..before
        }))
    }

    /// Forgets the file that was made beforehand: somebody may have taken it.
    pub(super) fn forget<S: Storage>(&mut self, storage: &S) {
        if let Some((name, _)) = self.next.take() {
            _ = storage.remove(&name);
        }
        self.has_synced_names = false;
    }

    /// Begins the segment after `before`, with the records of `replay` in it
    /// from the start: it is there whole and durable, or not at all.
    pub(super) fn begin<S: Storage<File = F>>(
        &mut self,
        storage: &S,
        before: Before,
        replay: &mut Batch,
        (now_ms, clock): (u64, Clock),
    ) -> io::Result<Begun<F>> {
        let before = self.clear_way(storage, before)?;
        if !self.has_synced_names {
            storage.sync_folder("")?;
            self.has_synced_names = true;
        }
        if !self.is_ready() {
            self.prepare(storage)?;
        }
        let Some((name, mut file)) = self.next.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let ids = [storage.fresh_id(), storage.fresh_id()];
        let (salt, bytes) = headers(before, ids, (now_ms, clock));
        replay.restamp(salt, before.first + HEADERS);
        let written = write_all(&mut file, &bytes, 0)
            .and_then(|()| write_all(&mut file, &replay.bytes, bytes.len() as u64))
            .and_then(|()| file.sync());
        let to = segment::name(before.first);
        let named = written.and_then(|()| storage.rename(&name, &to));
        if let Err(error) = named {
            _ = storage.remove(&name);
            return Err(error);
        }
        if let Err(error) = storage.sync_folder("") {
            let segment = Segment {
                first: before.first,
                bytes: (bytes.len() + replay.bytes.len()) as u64,
                salt: salt.value,
                ..Segment::default()
            };
            let crc = first_line_crc(&bytes);
            self.leftovers.push(Leftover {
                segment,
                crc,
                is_removed: false,
            });
            self.has_synced_names = false;
            return Err(error);
        }
        let begun_crc = if replay.is_empty() {
            last_line_crc(&bytes)
        } else {
            replay.last_crc()
        };
        let active = Active {
            id: 0,
            salt,
            begun: Instant::now(),
            start: bytes.len() as u64,
            end: (bytes.len() + replay.bytes.len()) as u64,
            last: (bytes.len() + replay.bytes.len()) as u64,
            begun_crc,
            file,
        };
        let left = std::mem::take(&mut self.leftovers);
        let left = left.into_iter().map(|left| left.segment).collect();
        Ok(Begun {
            active,
            before,
            left,
        })
    }
}

fn first_line_crc(bytes: &[u8]) -> u32 {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    record::crc_of(&bytes[..end])
}

fn last_line_crc(bytes: &[u8]) -> u32 {
    record::crc_of(bytes.strip_suffix(b"\n").unwrap_or(bytes))
}

/// The salt and the two header lines of a new segment, made of two ids.
fn headers(
    before: Before,
    [segment, salt]: [Uuid; 2],
    (now_ms, clock): (u64, Clock),
) -> (Salt, Vec<u8>) {
    let (_, value) = salt.as_u64_pair();
    let salt = Salt::new(value);
    let stamp = Stamp {
        salt,
        first: before.first,
        durable: Some(before.durable),
        now_ms,
    };
    let mut bytes = Vec::with_capacity(512);
    for q in stamp.first..stamp.first + HEADERS {
        let header = Body::Header {
            segment,
            prev_last: before.last,
            prev_crc: before.crc,
            clock,
        };
        record::encode(&mut bytes, salt, q, stamp.durable, now_ms, header);
    }
    (salt, bytes)
}
