//! Newline-delimited lines out of a byte stream, without copying them.
//!
//! Owns the bytes read and not yet handed out. Splits exactly as the
//! predecessor's `bufio.Scanner` does: `\n` ends a line, one `\r` before it
//! is dropped, and what stands unterminated at the end of the stream is a line
//! too. A line longer than the limit is an error: nothing behind it can be
//! trusted to be framed.
//!
//! Holds at most one limit plus one read. Never reads by itself beyond
//! [`LineBuffer::fill`].

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How many bytes one read asks for: many short lines, or one long payload,
/// for one system call.
const READ_BYTES: usize = 64 * 1024;

/// A line longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {line_max} bytes")]
pub(crate) struct LineTooLong {
    /// The limit, newline excluded.
    pub(crate) line_max: usize,
}

/// Bytes read, and how far they were searched for a newline.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    bytes: BytesMut,
    /// Where the next line begins.
    start: usize,
    /// Up to here there is no newline after `start`.
    searched: usize,
    line_max: usize,
}

impl LineBuffer {
    /// An empty buffer whose lines hold at most `line_max` bytes each.
    pub(crate) fn new(line_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            start: 0,
            searched: 0,
            line_max,
        }
    }

    /// The most a line may hold.
    pub(crate) fn line_max(&self) -> usize {
        self.line_max
    }

    /// Reads once from `reader`; `Ok(0)` is the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was read.
    pub(crate) async fn fill<R>(&mut self, reader: &mut R) -> io::Result<usize>
    where
        R: AsyncRead + Unpin,
    {
        self.make_room();
        reader.read_buf(&mut self.bytes).await
    }

    /// The next complete line without its end, or `None` until more is read.
    ///
    /// # Errors
    ///
    /// When the line is longer than the limit, whether or not its end has
    /// been read.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        let Some(offset) = memchr::memchr(b'\n', &self.bytes[self.searched..]) else {
            self.searched = self.bytes.len();
            // One `\r` may still turn out to belong to the line's end.
            if self.searched - self.start > self.line_max + 1 {
                return Err(self.too_long());
            }
            return Ok(None);
        };
        let end = self.searched + offset;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.searched = self.start;
        let line = without_carriage_return(&self.bytes[start..end]);
        if line.len() > self.line_max {
            return Err(self.too_long());
        }
        Ok(Some(line))
    }

    /// What is left when the stream has ended: its unterminated last line.
    ///
    /// # Errors
    ///
    /// When it is longer than the limit.
    pub(crate) fn last_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        let start = std::mem::replace(&mut self.start, self.bytes.len());
        self.searched = self.start;
        let line = without_carriage_return(&self.bytes[start..]);
        if line.len() > self.line_max {
            return Err(self.too_long());
        }
        Ok((!line.is_empty()).then_some(line))
    }

    /// Drops the lines already handed out, and a buffer grown for a rare long
    /// line once it is empty.
    fn make_room(&mut self) {
        self.bytes.advance(self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > 4 * READ_BYTES {
            self.bytes = BytesMut::new();
        }
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 2 {
            self.bytes.reserve(READ_BYTES);
        }
    }

    fn too_long(&self) -> LineTooLong {
        LineTooLong {
            line_max: self.line_max,
        }
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8], line_max: usize) -> LineBuffer {
        let mut lines = LineBuffer::new(line_max);
        lines.bytes.extend_from_slice(bytes);
        lines
    }

    fn all(lines: &mut LineBuffer) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().expect("short enough") {
            found.push(line.to_vec());
        }
        found
    }

    #[test]
    fn lines_end_at_a_newline_and_lose_one_carriage_return() {
        let mut lines = filled(b"one\ntwo\r\n\nthr", 100);
        assert_eq!(all(&mut lines), [&b"one"[..], b"two", b""]);
        lines.bytes.extend_from_slice(b"ee\n");
        assert_eq!(all(&mut lines), [b"three"]);
    }

    #[test]
    fn an_unterminated_line_counts_once_the_stream_has_ended() {
        let mut lines = filled(b"one\ntail", 100);
        assert_eq!(all(&mut lines), [b"one"]);
        assert_eq!(lines.last_line(), Ok(Some(&b"tail"[..])));
        assert_eq!(lines.last_line(), Ok(None));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_with_or_without_its_end() {
        assert_eq!(filled(b"1234\n", 4).next_line(), Ok(Some(&b"1234"[..])));
        assert!(filled(b"12345\n", 4).next_line().is_err());
        assert!(filled(b"123456", 4).next_line().is_err());

        for (last, is_short) in [(&b"1234\r"[..], true), (b"12345", false)] {
            let mut lines = filled(last, 4);
            assert_eq!(lines.next_line(), Ok(None));
            assert_eq!(lines.last_line().is_ok(), is_short);
        }
    }

    #[tokio::test]
    async fn any_split_of_the_stream_yields_the_same_lines() {
        let text = b"a\nbb\r\nccc\n\nlast";
        for size in 1..text.len() {
            let mut lines = LineBuffer::new(16);
            let mut found = Vec::new();
            for mut chunk in text.chunks(size) {
                while lines.fill(&mut chunk).await.expect("reads") > 0 {}
                found.extend(all(&mut lines));
            }
            assert_eq!(found, [&b"a"[..], b"bb", b"ccc", b""]);
            assert_eq!(lines.last_line(), Ok(Some(&b"last"[..])));
        }
    }

    #[tokio::test]
    async fn a_buffer_grown_for_a_long_line_is_given_back() {
        let mut long = vec![b'x'; 1 << 20];
        long.push(b'\n');
        let mut reader = &long[..];
        let mut lines = LineBuffer::new(2 << 20);
        while lines.fill(&mut reader).await.expect("reads") > 0 {}
        assert_eq!(all(&mut lines).len(), 1);
        let mut reader = &b"short\n"[..];
        lines.fill(&mut reader).await.expect("reads");
        assert!(lines.bytes.capacity() <= 2 * READ_BYTES);
    }
}
