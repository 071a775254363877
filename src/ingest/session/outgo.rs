//! What goes to a daemon: acks, and how patiently.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use crate::delivery::Outcome;
use crate::protocol::frame::{self, Kind, Status};
use crate::protocol::id::EffectId;

/// Acks a daemon may leave unread before it is not read either.
const ACK_BYTES_MAX: usize = 1024 * 1024;

/// How long a daemon may leave acks unread altogether.
const STALLED_MAX: Duration = Duration::from_secs(30);

/// The same, once Falco has stopped.
const LAST_ACKS_MAX: Duration = Duration::from_secs(1);

/// The writing half of a session.
#[derive(Debug)]
pub(super) struct Outgo {
    pub(super) acks: BytesMut,
    /// When the daemon last took some of them, or had taken all.
    progress: Instant,
    patience: Duration,
}

impl Outgo {
    pub(super) fn new() -> Self {
        Self {
            acks: BytesMut::new(),
            progress: Instant::now(),
            patience: STALLED_MAX,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.acks.len() >= ACK_BYTES_MAX
    }

    /// Adds one ack.
    pub(super) fn ack(&mut self, id: EffectId, outcome: &Outcome) {
        if self.acks.is_empty() {
            self.progress = Instant::now();
        }
        let (kind, out) = (Kind::PublishAck, &mut self.acks);
        match outcome {
            Ok(()) => frame::encode(kind, Status::Success.code(), id, b"", out),
            Err(failure) => {
                let text = failure.to_string();
                frame::encode(kind, Status::Failed.code(), id, text.as_bytes(), out);
            }
        }
    }

    /// The daemon took some.
    pub(super) fn have_written(&mut self) {
        self.progress = Instant::now();
    }

    /// These are the last acks; Falco waits for nobody now.
    pub(super) fn hurry(&mut self) {
        self.progress = Instant::now();
        self.patience = LAST_ACKS_MAX;
    }

    /// When a daemon that takes nothing is given up.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        (!self.acks.is_empty()).then(|| self.progress + self.patience)
    }
}
