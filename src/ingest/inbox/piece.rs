//! Bytes of a file from a place on, with those just before it, as one read gave
//! them.
//!
//! Whoever writes a file anew may do so between two reads. What was checked must
//! therefore be of the same read as what is taken, and so must what the next
//! check will be made against. And they may do so in the midst of a read, which
//! then has some of both: so nothing is taken that a second read does not give
//! as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::cut::{self, Cut, LINE_BYTES_MAX, Reject};
use super::progress::{Identity, TAIL_BYTES, Tail};
use crate::protocol::envelope::Routing;

/// Bytes of one piece, unless its first line is longer.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Times a file may be another by the second read of the same bytes.
const READS_MAX: usize = 3;

/// Why nothing is taken if it is another each time.
pub(super) const ANEW: &str = "it is being written anew";

/// See the module.
pub(super) struct Piece {
    pub(super) at: u64,
    /// How many of the bytes stand before that place.
    before: usize,
    bytes: Vec<u8>,
}

/// Whole lines, and what stands before the end of the last.
pub(super) type Taken = (Cut, Tail);

impl Piece {
    /// What stands from `at` on, up to the end of a line if one is there.
    pub(super) fn read(file: &File, at: u64) -> io::Result<Self> {
        let piece = Self::read_some(file, at, PIECE_BYTES)?;
        if piece.has_line() || piece.bytes().len() < PIECE_BYTES {
            return Ok(piece);
        }
        Self::read_some(file, at, LINE_BYTES_MAX + 1)
    }

    fn read_some(file: &File, at: u64, bytes_max: usize) -> io::Result<Self> {
        let begin = at.saturating_sub(TAIL_BYTES as u64);
        let before = usize::try_from(at - begin).unwrap_or(TAIL_BYTES);
        let bytes = read(file, begin, before + bytes_max)?;
        // It may have become shorter.
        let before = before.min(bytes.len());
        Ok(Self { at, before, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.before..]
    }

    fn has_line(&self) -> bool {
        memchr::memchr(b'\n', self.bytes()).is_some()
    }

    /// What stands before it.
    pub(super) fn tail(&self) -> Tail {
        self.tail_at(self.at)
    }

    fn tail_at(&self, end: u64) -> Tail {
        let taken = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let bytes = &self.bytes[..self.before + taken];
        Tail::of(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..])
    }

    /// Its whole lines, if it has one; of one that is too long, that it is.
    pub(super) fn lines(
        &self,
        from: &File,
        file: &Identity,
        routing: &Routing,
    ) -> io::Result<Option<Taken>> {
        if self.has_line() {
            let cut = cut::cut(self.bytes(), self.at, file, routing);
            let tail = self.tail_at(cut.end);
            return Ok(Some((cut, tail)));
        }
        if self.bytes().len() <= LINE_BYTES_MAX {
            return Ok(None);
        }
        self.too_long(from)
    }

    /// Passes over a line, if it has an end, and is still there once that is found:
    /// each read may be of another file.
    fn too_long(&self, from: &File) -> io::Result<Option<Taken>> {
        let mut at = self.at + LINE_BYTES_MAX as u64;
        loop {
            let next = Self::read_some(from, at, PIECE_BYTES)?;
            if let Some(lf) = memchr::memchr(b'\n', next.bytes()) {
                let lf = at + lf as u64;
                if !self.is_still_in(from)? {
                    return Ok(None);
                }
                let bytes = lf - self.at;
                let reason =
                    format!("the line has {bytes} bytes and the limit is {LINE_BYTES_MAX}");
                let cut = Cut {
                    lines: Vec::new(),
                    rejects: vec![Reject::new(self.at, reason, self.bytes())],
                    end: lf + 1,
                };
                return Ok(Some((cut, next.tail_at(lf + 1))));
            }
            if next.bytes().is_empty() {
                return Ok(None);
            }
            at += next.bytes().len() as u64;
        }
    }

    /// Whether the same bytes stand there.
    fn is_still_in(&self, file: &File) -> io::Result<bool> {
        let again = Self::read_some(file, self.at, self.bytes().len())?;
        Ok(again.before == self.before && again.bytes == self.bytes)
    }

    /// All of it as one line, if it reaches to the end of a file of `bytes` that is
    /// as long as it will be.
    pub(super) fn last_line(
        &self,
        bytes: u64,
        file: &Identity,
        routing: &Routing,
    ) -> Option<Taken> {
        let rest = self.bytes();
        let is_all = self.at + rest.len() as u64 == bytes;
        if rest.is_empty() || LINE_BYTES_MAX < rest.len() || !is_all {
            return None;
        }
        let cut = cut::cut_last(rest, self.at, file, routing)?;
        let tail = self.tail_at(cut.end);
        Some((cut, tail))
    }
}

/// Up to `bytes_max` bytes by one read, fewer at the end: what a second one adds
/// may be of another file. Another read gives the same.
pub(super) fn read(file: &impl FileExt, at: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    for _ in 0..READS_MAX {
        let bytes = read_once(file, at, bytes_max)?;
        if read_once(file, at, bytes.len())? == bytes {
            return Ok(bytes);
        }
    }
    Err(io::Error::other(ANEW))
}

fn read_once(file: &impl FileExt, at: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes_max];
    let length = loop {
        match file.read_at(&mut bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A file that is another at each read.
    struct Changing(RefCell<Vec<&'static [u8]>>);

    impl FileExt for Changing {
        fn read_at(&self, into: &mut [u8], _: u64) -> io::Result<usize> {
            let bytes = self.0.borrow_mut().remove(0);
            let length = bytes.len().min(into.len());
            into[..length].copy_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!("nobody writes")
        }
    }

    fn read_of(reads: &[&'static [u8]]) -> io::Result<Vec<u8>> {
        read(&Changing(RefCell::new(reads.to_vec())), 0, 99)
    }

    #[test]
    fn what_was_read_in_the_midst_of_a_write_is_read_again() {
        let (old, half, new) = (b"old old\n", b"new old\n", b"new new\n");
        assert_eq!(read_of(&[old, old]).unwrap(), old);
        assert_eq!(read_of(&[half, new, new, new]).unwrap(), new);
        let all = [&half[..], new, half, new, half, new];
        assert_eq!(read_of(&all).unwrap_err().to_string(), ANEW);
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_the_same() {
        assert_eq!(read_of(&[b"one\n", b"one\ntwo\n"]).unwrap(), b"one\n");
        assert_eq!(read_of(&[b"", b"one\n"]).unwrap(), b"");
    }
}
