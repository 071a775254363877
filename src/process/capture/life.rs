//! The output of one life of a child, read as it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::lines::{self, Line};
use super::{Log, flush};
use crate::clock;
use crate::protocol::log::{Record, Stream};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Bytes that one child may print before the others have a turn.
pub(super) const TURN_BYTES: usize = 64 * 1024;

/// The log of one life of a child; clones count their lines together.
#[derive(Debug, Clone)]
pub struct LifeLog {
    log: Log,
    incarnation: u32,
    seq: Arc<AtomicU64>,
}

impl LifeLog {
    pub(super) fn of(log: Log, incarnation: u32) -> Self {
        Self {
            log,
            incarnation,
            seq: Arc::default(),
        }
    }

    /// Writes a word of our own.
    pub fn note(&self, text: &str) {
        let mut records = Vec::new();
        self.record(&mut records, &now(), Stream::Falco, text.as_bytes(), false);
        self.log.push(records, 1);
    }

    /// Keeps everything `pipe` yields until it ends.
    pub async fn drain(self, mut pipe: impl AsyncRead + Unpin, stream: Stream) {
        let (mut buffer, mut turn) = (BytesMut::new(), 0);
        loop {
            buffer.reserve(READ_BYTES);
            let read = pipe.read_buf(&mut buffer).await;
            let ended = !matches!(read, Ok(1..));
            self.keep_lines(&mut buffer, stream, ended);
            if ended {
                return;
            }
            turn += read.unwrap_or(0);
            if TURN_BYTES <= turn {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Resolves when everything written before is in the file, or soon.
    pub async fn flush(&self) {
        flush(&self.log.jobs, vec![Arc::clone(&self.log.sink)]).await;
    }

    fn keep_lines(&self, buffer: &mut BytesMut, stream: Stream, ended: bool) {
        let (mut records, mut kept) = (Vec::new(), 0);
        let now = now();
        while let Some(Line { bytes, taken, cut }) = lines::next(buffer, ended) {
            self.record(&mut records, &now, stream, &buffer[..bytes], cut);
            buffer.advance(taken);
            kept += 1;
        }
        if 0 < kept {
            self.log.push(records, kept);
        }
    }

    fn record(&self, records: &mut Vec<u8>, ts: &str, stream: Stream, line: &[u8], cut: bool) {
        let record = Record {
            ts: ts.into(),
            child: self.log.sink.name().into(),
            incarnation: self.incarnation,
            stream,
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
            cut,
            ..Record::default()
        };
        record.with_line(line).write_to(records);
    }
}

/// The moment of a line, as the records have it.
fn now() -> String {
    clock::utc(clock::now_ms())
}
