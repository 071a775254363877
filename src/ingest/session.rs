//! One daemon's connection.
//!
//! Owns the socket, the frames being read, the acks being written, and the
//! count of effects that are not answered yet.
//!
//! ```text
//!            bytes ──decode──▶ frames ──route──▶ routed ──▶ dispatcher
//! socket                          │ broken, unroutable          │
//!            bytes ◀──encode── acks ◀──────────────────────────-┘
//! ```
//!
//! Stops reading while it owes too much: effects unanswered, effects not taken
//! by the dispatcher, acks not taken by the daemon. When the daemon has sent
//! its last byte, or sends what cannot be framed, the session reads no more,
//! answers what it has, and ends.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::alarm::Alarm;
use super::dispatcher::{Ack, Routed, Submission};
use crate::delivery::{Class, Failure, Outcome};
use crate::protocol::envelope::{self, RouteError, Routing};
use crate::protocol::frame::{self, Decoded, Decoder, Kind, Status};
use crate::protocol::id::EffectId;
use crate::shutdown::Shutdown;

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(pub u64);

/// Effects a connection may have unanswered.
const UNANSWERED_EFFECTS_MAX: usize = 1024;

/// Bytes of effects a connection may have unanswered.
const UNANSWERED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Acks a daemon may leave unread before it is not read either.
const ACK_BYTES_MAX: usize = 1024 * 1024;

/// How long a daemon may leave acks unread altogether.
const STALLED_MAX: Duration = Duration::from_secs(30);

/// The same, once Falco has stopped.
const LAST_ACKS_MAX: Duration = Duration::from_secs(1);

/// The first read of a connection; later ones grow with what comes.
const READ_BYTES_MIN: usize = 4 * 1024;

/// What one read asks for at most: many frames for one system call.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("failed to read from the daemon")]
    Read(#[source] io::Error),
    #[error("failed to write to the daemon")]
    Write(#[source] io::Error),
    #[error("the daemon does not take its acks")]
    Stalled,
}

/// Serves `stream` until it ends.
pub(super) async fn run(
    id: SessionId,
    stream: UnixStream,
    routing: Routing,
    submit: mpsc::Sender<Submission>,
    shutdown: Shutdown,
) {
    // Each message holds at least one ack and the session owes no more acks
    // than this, so that the dispatcher never finds the channel full.
    let (acks, decided) = mpsc::channel(UNANSWERED_EFFECTS_MAX);
    if submit.send(Submission::Open(id, acks)).await.is_err() {
        return;
    }
    let mut session = Session::new(id, routing, decided);
    if let Err(error) = session.serve(stream, &submit, &shutdown).await {
        let error = crate::report::Report(&error).to_string();
        let unanswered = session.unanswered.effects;
        debug!(session = id.0, unanswered, error, "Session ended early.");
    }
    _ = submit.send(Submission::Close(id)).await;
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    routing: Routing,
    decoder: Decoder,
    input: BytesMut,
    read_bytes: usize,
    intake: Intake,
    /// Routed, and not yet taken by the dispatcher.
    routed: Vec<Routed>,
    unanswered: Unanswered,
    decided: mpsc::Receiver<Vec<Ack>>,
    /// The dispatcher is gone; nothing more will be decided.
    is_orphan: bool,
    out: BytesMut,
    /// When the daemon last took some of `out`, or found it empty.
    progress: Instant,
    alarm: Alarm,
}

/// Whether more frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// The daemon has sent its last byte; some may still be undecoded.
    Finished,
    /// What is undecoded stays so: it cannot be framed, or Falco stops.
    Stopped,
}

#[derive(Debug, Default)]
struct Unanswered {
    effects: usize,
    bytes: usize,
}

/// What a session waits for.
enum Event {
    Shutdown,
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Decided(Option<Vec<Ack>>),
    Submitted,
    Stalled,
}

impl Session {
    fn new(id: SessionId, routing: Routing, decided: mpsc::Receiver<Vec<Ack>>) -> Self {
        Self {
            id,
            routing,
            decoder: Decoder::new(Kind::SideEffect, frame::Limits::default()),
            input: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            intake: Intake::Open,
            routed: Vec::new(),
            unanswered: Unanswered::default(),
            decided,
            is_orphan: false,
            out: BytesMut::new(),
            progress: Instant::now(),
            alarm: Alarm::default(),
        }
    }

    async fn serve(
        &mut self,
        mut stream: UnixStream,
        submit: &mpsc::Sender<Submission>,
        shutdown: &Shutdown,
    ) -> Result<(), SessionError> {
        loop {
            self.decode();
            self.submit_now(submit);
            if self.is_done() {
                return Ok(());
            }
            let event = self.event(&mut stream, submit, shutdown).await;
            self.handle(event)?;
        }
    }

    /// Waits for one thing to happen. Acks go out before more is read.
    async fn event(
        &mut self,
        stream: &mut UnixStream,
        submit: &mpsc::Sender<Submission>,
        shutdown: &Shutdown,
    ) -> Event {
        let (mut reader, mut writer) = stream.split();
        let may_read = self.may_read();
        if may_read {
            self.make_room();
        }
        let has_acks = !self.out.is_empty();
        let stalled_at = has_acks.then_some(self.stalled_at());
        tokio::select! {
            biased;
            () = shutdown.begun(), if self.intake != Intake::Stopped => Event::Shutdown,
            wrote = writer.write_buf(&mut self.out), if has_acks => Event::Wrote(wrote),
            decided = self.decided.recv(), if !self.is_orphan => Event::Decided(decided),
            permit = submit.reserve(), if !self.routed.is_empty() => {
                let Ok(permit) = permit else { return Event::Decided(None) };
                permit.send(Submission::Effects(self.id, std::mem::take(&mut self.routed)));
                Event::Submitted
            }
            read = reader.read_buf(&mut self.input), if may_read => Event::Read(read),
            () = self.alarm.wait(stalled_at) => Event::Stalled,
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Shutdown => self.stop(),
            Event::Read(read) => self.have_read(read.map_err(SessionError::Read)?),
            Event::Wrote(wrote) => {
                wrote.map_err(SessionError::Write)?;
                self.progress = Instant::now();
            }
            Event::Decided(Some(acks)) => self.have_decided(&acks),
            Event::Decided(None) => self.dispatcher_gone(),
            Event::Submitted => {}
            Event::Stalled if Instant::now() < self.stalled_at() => {}
            Event::Stalled => return Err(SessionError::Stalled),
        }
        Ok(())
    }

    /// When a daemon that takes nothing is given up.
    fn stalled_at(&self) -> Instant {
        let patience = if self.is_orphan {
            LAST_ACKS_MAX
        } else {
            STALLED_MAX
        };
        self.progress + patience
    }

    fn is_done(&self) -> bool {
        self.intake != Intake::Open && self.unanswered.effects == 0 && self.out.is_empty()
    }

    /// Whether the daemon is owed little enough to take more from it.
    fn may_decode(&self) -> bool {
        self.intake != Intake::Stopped
            && self.unanswered.effects < UNANSWERED_EFFECTS_MAX
            && self.unanswered.bytes < UNANSWERED_BYTES_MAX
            && self.out.len() < ACK_BYTES_MAX
    }

    fn may_read(&self) -> bool {
        self.intake == Intake::Open && self.routed.is_empty() && self.may_decode()
    }

    fn make_room(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 4 * READ_BYTES_MAX {
            self.input = BytesMut::new();
        }
        if self.input.capacity() - self.input.len() < self.read_bytes {
            let missing = self.decoder.missing(&self.input);
            self.input
                .reserve(missing.clamp(self.read_bytes, READ_BYTES_MAX));
        }
    }

    fn have_read(&mut self, bytes: usize) {
        if bytes >= self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
        }
        if bytes > 0 {
            return;
        }
        self.intake = Intake::Finished;
        if !self.decoder.is_between_frames(&self.input) && self.may_decode() {
            debug!(session = self.id.0, "Daemon left in the middle of a frame.");
        }
    }

    /// Cuts what was read into frames, for as long as the daemon is owed little.
    fn decode(&mut self) {
        while self.may_decode() {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(decoded)) => self.take(decoded),
                Ok(None) => return,
                Err(error) => {
                    warn!(session = self.id.0, %error, "Daemon sent what is no frame; its connection ends.");
                    self.intake = Intake::Stopped;
                }
            }
        }
    }

    fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Frame { id, body, .. } => match envelope::route(id, &body, &self.routing) {
                Ok(effect) => {
                    self.unanswered.effects += 1;
                    self.unanswered.bytes += body.len();
                    self.routed.push(Routed {
                        effect,
                        bytes: body.len(),
                    });
                }
                Err(error) => self.refuse(id, &refusal(&error)),
            },
            Decoded::Mismatch {
                id,
                body_len,
                expected,
            } => {
                let text = format!(
                    "payload_len {body_len} does not match the {expected} bytes of the frame"
                );
                self.refuse(id, &Failure::new(Class::Rejected, text));
            }
            Decoded::TooLarge { id, total_len } => {
                let text = format!("frame of {total_len} bytes is over the limit");
                self.refuse(id, &Failure::new(Class::TooLarge, text));
            }
        }
    }

    /// Answers an effect that goes no further.
    fn refuse(&mut self, id: EffectId, failure: &Failure) {
        debug!(session = self.id.0, effect_id = %id, error = %failure, "Effect refused.");
        self.write_ack(id, &Err(failure.clone()));
    }

    fn have_decided(&mut self, acks: &[Ack]) {
        for ack in acks {
            self.answered(ack.bytes);
            self.write_ack(ack.id, &ack.outcome);
        }
    }

    fn answered(&mut self, bytes: usize) {
        self.unanswered.effects -= 1;
        self.unanswered.bytes -= bytes;
    }

    fn write_ack(&mut self, id: EffectId, outcome: &Outcome) {
        if self.out.is_empty() {
            self.progress = Instant::now();
        }
        let (status, text) = match outcome {
            Ok(()) => (Status::Success, String::new()),
            Err(failure) => (Status::Failed, failure.to_string()),
        };
        let out = &mut self.out;
        frame::encode(Kind::PublishAck, status.code(), id, text.as_bytes(), out);
    }

    /// Hands over what was routed, if the dispatcher takes it right away.
    fn submit_now(&mut self, submit: &mpsc::Sender<Submission>) {
        if self.routed.is_empty() {
            return;
        }
        if let Ok(permit) = submit.try_reserve() {
            permit.send(Submission::Effects(
                self.id,
                std::mem::take(&mut self.routed),
            ));
        }
    }

    /// Takes no more; what was taken is still answered.
    fn stop(&mut self) {
        self.intake = Intake::Stopped;
    }

    /// Nobody else will answer any more.
    fn dispatcher_gone(&mut self) {
        self.is_orphan = true;
        self.intake = Intake::Stopped;
        let failure = Failure::new(Class::ShuttingDown, "Falco is stopping");
        for routed in std::mem::take(&mut self.routed) {
            self.answered(routed.bytes);
            self.write_ack(routed.effect.id, &Err(failure.clone()));
        }
        self.unanswered = Unanswered::default();
    }
}

fn refusal(error: &RouteError) -> Failure {
    let class = match error {
        RouteError::TooLarge { .. } => Class::TooLarge,
        _ => Class::Rejected,
    };
    Failure::new(class, error.to_string())
}
