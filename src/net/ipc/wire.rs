//! One connection: its buffers, and how it breaks.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use super::super::lines::{LineBuffer, LineTooLong};
use super::{Features, GREETING_ID};
use crate::protocol::ipc::{self, Incoming};

/// How long a wire that takes nothing any more may still bring answers.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// The longest line taken from a transport: a message of the largest payload
/// it accepts itself, and room to spare.
const LINE_BYTES_MAX: usize = 2 * ipc::LINE_BYTES_MAX;

/// Beyond this many unwritten bytes nothing more should be written.
const OUT_BYTES_HIGH: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    lines: LineBuffer,
    since: Instant,
    out: BytesMut,
    /// `out` was found too full to take more.
    is_clogged: bool,
    /// Nothing can be written any more; what was answered before can be read.
    broken: Option<Broken>,
}

/// A wire that only reads.
#[derive(Debug)]
struct Broken {
    why: std::io::Error,
    until: Instant,
}

/// What one wait on a wire ended with.
pub(super) enum Moved {
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    /// The last answers of a broken wire have had their time.
    Over,
}

impl Wire {
    /// A connection with the greeting in its output buffer.
    pub(super) fn greeting(stream: UnixStream) -> Self {
        let mut out = BytesMut::new();
        ipc::encode::hello(&mut out, &GREETING_ID);
        Self {
            stream,
            lines: LineBuffer::new(LINE_BYTES_MAX),
            since: Instant::now(),
            out,
            is_clogged: false,
            broken: None,
        }
    }

    /// How long there has been this connection.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Where to write, unless too much is unwritten already.
    pub(super) fn out(&mut self) -> Option<&mut BytesMut> {
        self.is_clogged |= self.out.len() >= OUT_BYTES_HIGH;
        (!self.is_clogged).then_some(&mut self.out)
    }

    pub(super) fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        self.lines.next_line()
    }

    /// Why nothing can be written any more, if so.
    pub(super) fn take_trouble(&mut self) -> Option<std::io::Error> {
        self.broken.take().map(|broken| broken.why)
    }

    /// Waits until something was read or written. What was to be written goes
    /// first: answers can only follow.
    pub(super) async fn moved(&mut self) -> Moved {
        let (mut reader, mut writer) = self.stream.split();
        if let Some(broken) = &self.broken {
            let read = timeout_at(broken.until, self.lines.fill(&mut reader)).await;
            return read.map_or(Moved::Over, Moved::Read);
        }
        tokio::select! {
            biased;
            wrote = writer.write_buf(&mut self.out), if !self.out.is_empty() => Moved::Wrote(wrote),
            read = self.lines.fill(&mut reader) => Moved::Read(read),
        }
    }

    /// Writes what the stream takes now. When there was too much to write, room is
    /// told by whoever waits.
    pub(super) fn push(&mut self) -> std::io::Result<()> {
        if self.is_clogged || self.out.is_empty() {
            return Ok(());
        }
        match self.stream.try_write(&self.out) {
            Ok(written) => {
                self.out.advance(written);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The other side takes nothing any more. Answers it gave before are still
    /// to be read.
    pub(super) fn have_broken(&mut self, why: std::io::Error) {
        self.out.clear();
        self.is_clogged = true;
        let until = Instant::now() + LAST_LINES_MAX;
        self.broken = Some(Broken { why, until });
    }

    /// Looks for the answer to the greeting among the lines; nothing else was
    /// asked, so all others mean nothing.
    pub(super) fn greeting_answer(&mut self) -> Option<Features> {
        while let Ok(Some(line)) = self.lines.next_line() {
            let Ok(incoming) = serde_json::from_slice::<Incoming<'_>>(line) else {
                continue;
            };
            if incoming.op == "hello.ack.v1" {
                return Some(Features::of(&incoming));
            }
            // A transport that answers what it does not know is done, too.
            if incoming.request_id == GREETING_ID {
                return Some(Features::default());
            }
        }
        None
    }

    pub(super) fn has_room_again(&mut self) -> bool {
        let room = self.is_clogged && self.out.len() < OUT_BYTES_HIGH / 2;
        self.is_clogged &= !room;
        room
    }
}
