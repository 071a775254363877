//! Looks for a line in output that flows by.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use super::sidecar::LinePattern;

/// A longer line is looked at as far as this.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Passes everything on, and tells once a line of it matches.
pub(super) struct Tap<R> {
    inner: R,
    /// Nothing once it was found.
    wanted: Option<(LinePattern, Arc<Notify>)>,
    line: Vec<u8>,
}

impl<R> Tap<R> {
    pub(super) fn new(inner: R, wanted: Option<(LinePattern, Arc<Notify>)>) -> Self {
        Self {
            inner,
            wanted,
            line: Vec::new(),
        }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some((pattern, found)) = &self.wanted else {
                return;
            };
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                if pattern.matches(&self.line) {
                    found.notify_one();
                    self.wanted = None;
                }
                self.line.clear();
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Tap<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            self.look_at(&buf.filled()[before..]);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn a_line_is_found_however_it_is_cut() {
        let found = Arc::new(Notify::new());
        let pattern: LinePattern = "^ready on \\d+$".parse().unwrap();
        let mut tap = Tap::new((), Some((pattern, Arc::clone(&found))));
        for bytes in [b"not rea".as_slice(), b"dy\nrea", b"dy on 80", b"80"] {
            tap.look_at(bytes);
        }
        assert!(tap.wanted.is_some(), "the line has no end yet");
        tap.look_at(b"\nmore\n");
        assert!(tap.wanted.is_none());
    }

    #[tokio::test]
    async fn everything_flows_by_unchanged() {
        let found = Arc::new(Notify::new());
        let pattern: LinePattern = "two".parse().unwrap();
        let input: &[u8] = b"one\ntwo\nthree";
        let mut tap = Tap::new(input, Some((pattern, Arc::clone(&found))));
        let mut output = Vec::new();
        tap.read_to_end(&mut output).await.unwrap();
        assert_eq!(output, input);
        found.notified().await;
    }
}
