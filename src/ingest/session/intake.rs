//! What comes from a daemon: bytes, cut into frames.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::protocol::frame::{self, Decoded, Decoder, FrameError, Kind};

/// The first read of a connection; later ones grow with what comes.
const READ_BYTES_MIN: usize = 4 * 1024;

/// What one read asks for at most: many frames for one system call.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A frame longer than this needs a share of [`LargeFrames`] to be read.
const LARGE_BYTES: usize = 2 * READ_BYTES_MAX;

/// How long the rest of such a frame may keep others waiting for theirs.
const UNFINISHED_MAX: Duration = Duration::from_secs(30);

/// Memory for the large frames that all connections are in the middle of.
///
/// Without it, each connection could have us hold the better part of 4 MiB by
/// never finishing a frame.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct LargeFrames {
    /// One permit a KiB.
    kib: Arc<Semaphore>,
}

impl LargeFrames {
    pub(in crate::ingest) fn new(bytes: usize) -> Self {
        let kib = Arc::new(Semaphore::new(bytes / 1024));
        Self { kib }
    }

    /// Waits for the memory of one frame. Cancel safe.
    pub(super) async fn share(&self, bytes: usize) -> Share {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Share(Arc::clone(&self.kib).acquire_many_owned(kib).await.ok())
    }
}

/// Memory for one large frame, given back when dropped.
#[derive(Debug)]
pub(super) struct Share(
    #[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>,
);

/// Whether more frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The daemon has sent its last byte; some may still be undecoded.
    Finished,
    /// What is undecoded stays so: it cannot be framed, or Falco stops.
    Stopped,
}

/// The reading half of a session.
#[derive(Debug)]
pub(super) struct Intake {
    state: State,
    decoder: Decoder,
    input: BytesMut,
    read_bytes: usize,
    share: Option<Share>,
    /// When the daemon last sent something, or was given a share.
    heard: Instant,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            state: State::Open,
            decoder: Decoder::new(Kind::SideEffect, frame::Limits::default()),
            input: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            share: None,
            heard: Instant::now(),
        }
    }

    /// Whether the daemon may still send something.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether what was read may still yield frames.
    pub(super) fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// From here on nothing more is taken.
    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
        self.share = None;
    }

    /// The buffer to read into, with room for a read.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.input.is_empty() && self.input.capacity() > 4 * READ_BYTES_MAX {
            self.input = BytesMut::new();
        }
        if self.input.capacity() - self.input.len() < self.read_bytes {
            let missing = self.decoder.missing(&self.input);
            let wanted = missing.clamp(self.read_bytes, READ_BYTES_MAX);
            self.input.reserve(wanted);
        }
        &mut self.input
    }

    /// Bytes were read into the buffer; none means that there will be no more.
    /// Returns whether the daemon left in the middle of a frame.
    pub(super) fn have_read(&mut self, bytes: usize) -> bool {
        self.heard = Instant::now();
        if bytes >= self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
        }
        if bytes == 0 {
            self.state = State::Finished;
        }
        bytes == 0 && !self.decoder.is_between_frames(&self.input)
    }

    /// The next frame of what was read.
    pub(super) fn next_frame(&mut self) -> Result<Option<Decoded>, FrameError> {
        let decoded = self.decoder.decode(&mut self.input)?;
        if self.share.is_some() && self.frame_bytes() <= LARGE_BYTES {
            self.share = None;
        }
        Ok(decoded)
    }

    /// How much memory has to be waited for before reading on.
    pub(super) fn lacks_memory(&self) -> Option<usize> {
        let bytes = self.frame_bytes();
        (self.share.is_none() && bytes > LARGE_BYTES).then_some(bytes)
    }

    pub(super) fn grant(&mut self, share: Share) {
        self.share = Some(share);
        self.heard = Instant::now();
    }

    /// When a daemon that does not finish a large frame is given up.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        let share = self.share.as_ref();
        share.map(|_| self.heard + UNFINISHED_MAX)
    }

    /// What the frame at the front takes, as far as is known.
    fn frame_bytes(&self) -> usize {
        self.input.len() + self.decoder.missing(&self.input)
    }
}
