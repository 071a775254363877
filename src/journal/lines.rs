//! A file as lines, in bounded memory.

use std::io;

use super::record::RECORD_BYTES_MAX;
use super::storage::StoredFile;

/// Bytes read at once.
const CHUNK: usize = 4 << 20;

/// A range of bytes up to an LF, the end of the file, or more than any record
/// has.
pub(super) struct Line<'a> {
    pub(super) offset: u64,
    /// Without the LF.
    pub(super) bytes: &'a [u8],
    /// With it.
    pub(super) length: u64,
}

/// Reads a file once, from its beginning.
pub(super) struct Lines<'f, F> {
    file: &'f F,
    buffer: Vec<u8>,
    /// The part of the buffer that was not given out yet.
    start: usize,
    end: usize,
    /// Bytes of that part known to hold no LF.
    searched: usize,
    /// Where in the file the buffer begins.
    base: u64,
    at_end: bool,
}

impl<'f, F: StoredFile> Lines<'f, F> {
    pub(super) fn new(file: &'f F) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            base: 0,
            at_end: false,
        }
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            let found = memchr::memchr(b'\n', &unread[self.searched..]);
            if let Some(at) = found {
                let length = self.searched + at;
                return Ok(Some(self.give(length, 1)));
            }
            self.searched = unread.len();
            if RECORD_BYTES_MAX < unread.len() || self.at_end {
                let length = unread.len();
                return Ok((0 < length).then(|| self.give(length, 0)));
            }
            self.fill()?;
        }
    }

    fn give(&mut self, length: usize, lf: usize) -> Line<'_> {
        let offset = self.offset();
        let start = self.start;
        self.start += length + lf;
        self.searched = 0;
        Line {
            offset,
            bytes: &self.buffer[start..start + length],
            length: (length + lf) as u64,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + CHUNK {
            let left = self.file.bytes()?.saturating_sub(self.base);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let wanted = left.saturating_add(1).min(self.end + CHUNK);
            self.buffer.resize(wanted.max(self.end + 1), 0);
        }
        let offset = self.base + self.end as u64;
        match self.file.read_at(&mut self.buffer[self.end..], offset) {
            Ok(0) => self.at_end = true,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
