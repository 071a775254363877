//! A file of the memo, read a piece at a time.
//!
//! It has room for far more than a short life writes. Behind its last record
//! nothing is read but the rest of a piece, and as much as what stands there says
//! to be long, if a record may be: an end says nothing, and what earlier lives
//! have left is no longer than what they wrote.
//!
//! Holds a piece, or the longest of its records.

use std::io::{self, Read};

use super::record::{self, BEGUN, BYTES_MAX, HEAD_BYTES, Parsed};

/// Bytes read at once, where nothing speaks for others.
pub(super) const PIECE: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Reading<R> {
    file: R,
    /// Bytes read at once.
    piece: usize,
    /// The file's number; 0 if it says none.
    number: u64,
    /// What the next record's checksum goes on from.
    seed: u32,
    /// What was read and is still needed, from `taken` on.
    bytes: Vec<u8>,
    taken: usize,
    /// Where in the file that is: behind the last record that was given out.
    end: usize,
}

impl<R: Read> Reading<R> {
    /// Reads the first `piece` of `file`.
    pub(super) fn begin(file: R, piece: usize) -> io::Result<Self> {
        let mut reading = Self {
            file,
            piece,
            number: 0,
            seed: record::seed(0),
            bytes: Vec::new(),
            taken: 0,
            end: 0,
        };
        let first = reading.whole()?;
        let first = first.and_then(|bytes| record::parse(&reading.bytes[HEAD_BYTES..bytes]));
        if let Some(Parsed { name, .. }) = first.filter(|first| first.kind == BEGUN) {
            reading.number = name.as_u64_pair().1;
        }
        Ok(reading)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Where what was given out ends.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// What the next record says; `None` behind the last, whatever stands there.
    pub(super) fn next(&mut self) -> io::Result<Option<Parsed<'_>>> {
        let Some(bytes) = self.whole()? else {
            return Ok(None);
        };
        let body = &self.bytes[self.taken..][HEAD_BYTES..bytes];
        let parsed = record::parse(body);
        if parsed.is_some() {
            self.taken += bytes;
            self.end += bytes;
            self.seed = record::seed(self.number);
        }
        Ok(parsed)
    }

    /// How many bytes the next record has, if it is whole; then they are there.
    fn whole(&mut self) -> io::Result<Option<usize>> {
        if !self.has(HEAD_BYTES)? {
            return Ok(None);
        }
        let Some(bytes) = record::length(&self.bytes[self.taken..]) else {
            return Ok(None);
        };
        if BYTES_MAX < bytes || !self.has(bytes)? {
            return Ok(None);
        }
        let is_whole = record::is_whole(&self.bytes[self.taken..][..bytes], self.seed);
        Ok(is_whole.then_some(bytes))
    }

    /// Whether the file has so many bytes more; then they are there.
    fn has(&mut self, bytes: usize) -> io::Result<bool> {
        let there = self.bytes.len() - self.taken;
        if there < bytes {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            let missing = self.piece.max(bytes - there);
            self.bytes.reserve_exact(missing);
            let mut piece = self.file.by_ref().take(missing as u64);
            piece.read_to_end(&mut self.bytes)?;
        }
        Ok(bytes <= self.bytes.len() - self.taken)
    }
}
