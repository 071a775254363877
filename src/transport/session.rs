//! One client of `ably.sock`.
//!
//! ```text
//!          ┌── lines ──▶ requests ──▶ upstream commands
//! client ──┤
//!          └◀─ output ◀── answers, messages
//! ```
//!
//! Owns the client's socket, what it has asked and not been answered, and what
//! it was not yet written. Reads no further while too much of either is held,
//! so a client is slowed by its own pace only: a client that never reads has
//! its messages dropped, is read no more, and is finally hung up on.
//!
//! Stops when the client ends its half or is told to stop: then nothing more
//! is read, and the session ends once every open request is answered. What was
//! asked is carried out even if the client has gone.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::mailbox::{self, Mailbox, Sink};
use super::reply::Answer;
use super::server::Shared;
use super::subscriptions::{Delivery, SessionId};
use super::upstream::{Command, Upstream};
use super::wire;
use crate::failpoint::{self, Point};
use crate::net::lines::{LineBuffer, LineTooLong};
use crate::protocol::token::Audience;
use crate::shutdown::Shutdown;

mod requests;

/// Requests of one client that are not answered yet; at it we stop reading.
const OPEN_MAX: usize = 16 * 1024;

/// Their encoded bytes; at it we stop reading.
const OPEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Output not yet written; at it we stop reading and stop taking messages.
const OUTPUT_PAUSE: usize = 256 * 1024;

/// A client that has taken nothing for this long is hung up on.
const STALLED_MAX: Duration = Duration::from_secs(30);

/// Messages turned into output at once.
const DELIVERIES_A_TURN: usize = 256;

/// How a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// The client's socket failed.
    #[error("failed to read from a client")]
    Read(#[source] io::Error),
    /// The client has gone, or its socket failed.
    #[error("failed to write to a client")]
    Write(#[source] io::Error),
    /// It never reads what it is sent.
    #[error("the client has read nothing for {} s", STALLED_MAX.as_secs())]
    Stalled,
    /// It cannot be told where the next line begins.
    #[error(transparent)]
    Line(#[from] LineTooLong),
}

/// See the module.
pub(super) struct Session<R, W> {
    id: SessionId,
    shared: Arc<Shared>,
    reader: R,
    writer: W,
    lines: LineBuffer,
    /// No more lines will be read.
    ended: bool,
    open: usize,
    open_bytes: usize,
    /// A request its upstream had no room for; nothing is read until it has.
    blocked: Option<(Upstream, Command)>,
    answer_to: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    deliver_to: Sink,
    deliveries: Mailbox,
    subscribed: bool,
    output: BytesMut,
    /// When the client last took something, while it has something to take.
    stalled_since: Option<Instant>,
    answered: Vec<Answer>,
    delivered: Vec<Delivery>,
}

enum Woken {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Answers,
    Deliveries,
    Room,
    Stalled,
    Stop,
}

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    pub(super) fn new(id: SessionId, shared: Arc<Shared>, reader: R, writer: W) -> Self {
        // Every open request has its place: an answer never waits.
        let (answer_to, answers) = mpsc::channel(OPEN_MAX + 1);
        let (deliver_to, deliveries) = mailbox::mailbox();
        Self {
            id,
            reader,
            writer,
            lines: LineBuffer::new(shared.line_max),
            shared,
            ended: false,
            open: 0,
            open_bytes: 0,
            blocked: None,
            answer_to,
            answers,
            deliver_to,
            deliveries,
            subscribed: false,
            output: BytesMut::new(),
            stalled_since: None,
            answered: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// Serves the client until it is done, or told to `stop`.
    pub(super) async fn run(mut self, stop: Shutdown) {
        let result = self.serve(&stop).await;
        if self.subscribed {
            let upstream = self.shared.upstreams.of(Audience::DaemonNagato).clone();
            // An upstream that has ended keeps no subscriptions either.
            _ = upstream.commands.send(Command::Leave(self.id)).await;
        }
        match result {
            Ok(()) => debug!(session = self.id.0, "Client is done."),
            Err(SessionError::Write(error) | SessionError::Read(error)) => {
                debug!(session = self.id.0, error = %error, "Client has gone.");
            }
            Err(error) => {
                warn!(session = self.id.0, error = %crate::report::Report(&error),
                    "Hung up on a client.");
            }
        }
    }

    async fn serve(&mut self, stop: &Shutdown) -> Result<(), SessionError> {
        loop {
            self.take_lines()?;
            if self.ended && self.open == 0 && self.blocked.is_none() && self.output.is_empty() {
                return Ok(());
            }
            let woken = self.wait(stop).await;
            self.take(woken)?;
        }
    }

    async fn wait(&mut self, stop: &Shutdown) -> Woken {
        let may_read = !self.ended && self.has_room();
        let may_deliver = self.output.len() < OUTPUT_PAUSE;
        let has_output = !self.output.is_empty();
        let stalled_at = self.stalled_since.map(|since| since + STALLED_MAX);
        tokio::select! {
            biased;
            // First what was read is answered, then more is read: many
            // answers, one write.
            _ = self.answers.recv_many(&mut self.answered, OPEN_MAX) => Woken::Answers,
            wrote = self.writer.write(&self.output), if has_output => Woken::Wrote(wrote),
            _ = self.deliveries.take(&mut self.delivered, DELIVERIES_A_TURN), if may_deliver => Woken::Deliveries,
            () = room(&mut self.blocked), if self.blocked.is_some() => Woken::Room,
            () = stop.begun(), if !self.ended => Woken::Stop,
            read = self.lines.fill(&mut self.reader), if may_read => Woken::Read(read),
            () = sleep_until(stalled_at), if has_output => Woken::Stalled,
        }
    }

    fn take(&mut self, woken: Woken) -> Result<(), SessionError> {
        match woken {
            Woken::Read(Ok(0)) => self.take_end()?,
            Woken::Read(Ok(_)) | Woken::Room => {}
            Woken::Read(Err(error)) => return Err(SessionError::Read(error)),
            Woken::Wrote(Ok(0)) => {
                return Err(SessionError::Write(io::ErrorKind::WriteZero.into()));
            }
            Woken::Wrote(Ok(written)) => self.took_output(written),
            Woken::Wrote(Err(error)) => return Err(SessionError::Write(error)),
            Woken::Answers => self.write_answers(),
            Woken::Deliveries => self.write_deliveries(),
            Woken::Stalled => return Err(SessionError::Stalled),
            Woken::Stop => self.ended = true,
        }
        if self.output.is_empty() {
            self.stalled_since = None;
        } else if self.stalled_since.is_none() {
            self.stalled_since = Some(now());
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.blocked.is_none()
            && self.open < OPEN_MAX
            && self.open_bytes < OPEN_BYTES_MAX
            && self.output.len() < OUTPUT_PAUSE
    }

    /// Carries out the lines that are there, as far as there is room.
    fn take_lines(&mut self) -> Result<(), SessionError> {
        let reader = self.shared.reader;
        while self.has_room() {
            let Some(line) = self.lines.next_line()? else {
                return Ok(());
            };
            if line.is_empty() {
                continue;
            }
            let read = reader.read(line);
            failpoint::reach(Point::RequestRead);
            self.take_request(read);
        }
        Ok(())
    }

    /// The client has ended its half; a line may be left without its end.
    fn take_end(&mut self) -> Result<(), SessionError> {
        self.ended = true;
        let reader = self.shared.reader;
        if let Some(line) = self.lines.last_line()? {
            let read = reader.read(line);
            self.take_request(read);
        }
        Ok(())
    }

    fn write_answers(&mut self) {
        for answer in self.answered.drain(..) {
            self.open -= 1;
            self.open_bytes -= answer.cost;
            let result = answer.result.as_ref().map(|&()| ());
            wire::put_answer(&mut self.output, answer.op, &answer.request_id, result);
        }
    }

    fn write_deliveries(&mut self) {
        for delivery in self.delivered.drain(..) {
            wire::put_message(&mut self.output, &delivery);
        }
    }

    fn took_output(&mut self, written: usize) {
        self.output.advance(written);
        failpoint::reach(Point::AnswersWritten);
        self.stalled_since = None;
        if self.output.is_empty() && self.output.capacity() > 4 * OUTPUT_PAUSE {
            self.output = BytesMut::new();
        }
    }
}

/// Waits until the blocked command has gone to its upstream.
///
/// Dropped before it returns, the command is still there.
async fn room(blocked: &mut Option<(Upstream, Command)>) {
    let Some((upstream, _)) = blocked else {
        return;
    };
    let commands = upstream.commands.clone();
    let permit = commands.reserve().await;
    if let (Some((_, command)), Ok(permit)) = (blocked.take(), permit) {
        permit.send(command);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
