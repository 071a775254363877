//! One websocket: reads frames, lets its [`Connection`] answer, writes.
//!
//! Owns the socket. Everything that has arrived is answered under one lock of
//! the hub and written with one flush, and while the socket takes no more,
//! nothing is read: a client that does not read is not served, and after
//! 30 seconds it is cut off.
//!
//! Stops when the client closes, when its token expires, when another session
//! takes its connection over, or at shutdown with DISCONNECTED 80003.

mod attach;
mod connection;
mod modes;
mod open;
mod socket;
mod sync;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tracing::debug;

use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, ProtocolMessage};
use crate::report::Report;
use crate::shutdown::Shutdown;

use super::hub::Delivery;
use super::limits::FRAME_BYTES_MAX;
use super::{Emulator, now_ms};

use connection::{Connection, Ending};
pub(super) use open::Params;
pub(super) use socket::websocket_config;
use socket::{Outbox, SessionError, Socket, decode};
use timers::{Due, Timers};

/// Frames answered in one go; then what they caused is written.
const FRAMES_PER_TURN: usize = 256;

/// Bytes of frames after which no more are taken in the same go.
const BYTES_PER_TURN: usize = FRAME_BYTES_MAX;

/// Bytes pulled from channels in one go, before they are written.
const PULL_BYTES: usize = 256 * 1024;

/// Serves one websocket until it ends.
pub(super) async fn serve<S>(
    emulator: Arc<Emulator>,
    socket: WebSocketStream<S>,
    params: Params,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wake = Arc::new(Notify::new());
    let mut outbox = Outbox::new(params.format);
    let opened = open::open(&emulator, &params, wake.clone(), &mut outbox);
    let mut writer = Socket {
        socket,
        ping: false,
    };
    let connection = match opened {
        Ok(connection) => connection,
        Err(error) => {
            debug!(code = error.code, "A client was refused.");
            outbox.push_error(None, error);
            _ = writer.write(&mut outbox).await;
            return writer.close().await;
        }
    };
    let timers = Timers::new(&params, connection.expires_ms());
    let mut session = Session {
        emulator,
        socket: writer,
        connection,
        timers,
        wake,
        outbox,
        pending: VecDeque::new(),
    };
    let ending = match session.run(&shutdown).await {
        Ok(ending) => ending,
        Err(error) => {
            debug!(error = %Report(&error), "A client's socket is gone.");
            Ending::Lost
        }
    };
    session
        .connection
        .end(&mut session.emulator.hub(), ending, now_ms());
    session.socket.close().await;
}

struct Session<S> {
    emulator: Arc<Emulator>,
    socket: Socket<S>,
    connection: Connection,
    timers: Timers,
    wake: Arc<Notify>,
    outbox: Outbox,
    /// Frames that have arrived and wait until others' answers are written.
    pending: VecDeque<Frame>,
}

/// What a session waits for.
enum Event {
    Frame(Option<Result<Frame, tungstenite::Error>>),
    Pending,
    Wake,
    Due,
    Shutdown,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self, shutdown: &Shutdown) -> Result<Ending, SessionError> {
        loop {
            self.flush().await?;
            let event = tokio::select! {
                biased;
                () = shutdown.begun() => Event::Shutdown,
                () = std::future::ready(()), if !self.pending.is_empty() => Event::Pending,
                frame = self.socket.socket.next() => Event::Frame(frame),
                () = self.wake.notified() => Event::Wake,
                () = self.timers.sleep() => Event::Due,
            };
            let ending = match event {
                Event::Frame(None) => Some(Ending::Lost),
                // Whoever sends without a pause must not put off what is due.
                Event::Frame(Some(frame)) => {
                    let frame = frame?;
                    self.handle_due().or_else(|| self.take_frames(frame))
                }
                Event::Pending => self.handle_due().or_else(|| self.handle_frames()),
                Event::Wake | Event::Due => self.handle_due(),
                Event::Shutdown => Some(self.stop()),
            };
            if let Some(ending) = ending {
                // How it ended does not depend on whether the client still
                // reads the answer.
                _ = self.flush().await;
                return Ok(ending);
            }
        }
    }

    /// Takes `first` and all that has arrived behind it, and answers.
    fn take_frames(&mut self, first: Frame) -> Option<Ending> {
        let mut bytes = first.len();
        self.pending.push_back(first);
        while self.pending.len() < FRAMES_PER_TURN && bytes < BYTES_PER_TURN {
            match self.socket.socket.next().now_or_never() {
                Some(Some(Ok(frame))) => {
                    bytes += frame.len();
                    self.pending.push_back(frame);
                }
                // An end or an error shows again once these are answered: a
                // CLOSE counts also when the socket went right behind it.
                Some(Some(Err(_)) | None) | None => break,
            }
        }
        self.handle_frames()
    }

    /// Answers what has arrived until there is enough to write first.
    fn handle_frames(&mut self) -> Option<Ending> {
        let mut hub = self.emulator.hub();
        let now_ms = now_ms();
        while self.outbox.bytes() < PULL_BYTES {
            let Some(frame) = self.pending.pop_front() else {
                break;
            };
            let message = match decode(frame) {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(error) => {
                    self.outbox.push_error(None, error);
                    return Some(Ending::Lost);
                }
            };
            let ending = self
                .connection
                .handle(&mut hub, message, now_ms, &mut self.outbox);
            if ending.is_some() {
                return ending;
            }
        }
        self.timers.set_expiry(self.connection.expires_ms());
        None
    }

    /// Not with 503, as Ably would: that sends a client to its fallback hosts,
    /// and the PyPI SDK, which has none here, then never connects again.
    fn stop(&mut self) -> Ending {
        let error = ErrorInfo::with_status(80003, 400, "the emulator is stopping");
        self.outbox.push(&disconnected(error));
        Ending::Lost
    }

    fn check_replaced(&mut self) -> Option<Ending> {
        let is_replaced = self.emulator.hub().is_replaced(self.connection.session());
        is_replaced.then(|| {
            let error = ErrorInfo::with_status(80016, 400, "a newer socket has this connection");
            self.outbox.push(&disconnected(error));
            Ending::Lost
        })
    }

    /// Does what is due, and ends a session that was replaced.
    fn handle_due(&mut self) -> Option<Ending> {
        let ending = self.check_replaced();
        if ending.is_some() {
            return ending;
        }
        match self.timers.take_due() {
            Due::Nothing => None,
            Due::Heartbeat => {
                self.outbox.push(&ProtocolMessage::new(Action::Heartbeat));
                None
            }
            Due::Ping => {
                self.socket.ping = true;
                None
            }
            Due::TokenExpiresSoon => {
                self.outbox.push(&ProtocolMessage::new(Action::Auth));
                None
            }
            Due::TokenExpired => {
                self.outbox.push(&disconnected(ErrorInfo::new(
                    40142,
                    "the token has expired",
                )));
                Some(Ending::Lost)
            }
        }
    }

    /// Writes all there is for this client, pulling as the socket takes it.
    async fn flush(&mut self) -> Result<(), SessionError> {
        loop {
            let is_all = self.pull();
            if self.outbox.frames.is_empty() && !self.socket.ping {
                return Ok(());
            }
            self.timers.wrote();
            self.socket.write(&mut self.outbox).await?;
            if is_all {
                return Ok(());
            }
        }
    }

    /// Takes up to [`PULL_BYTES`] from the channels; whether that was all.
    fn pull(&mut self) -> bool {
        let mut hub = self.emulator.hub();
        let (session, format) = (self.connection.session(), self.outbox.format);
        let mut budget = PULL_BYTES;
        while 0 < budget {
            match hub.pull(session, format, &mut budget, &mut self.outbox.frames) {
                Delivery::Nothing => return true,
                Delivery::Frames => {}
                Delivery::Lost { channel, position } => {
                    self.connection
                        .push_lost(&hub, &channel, position, &mut self.outbox);
                }
            }
        }
        false
    }
}

fn disconnected(error: ErrorInfo) -> ProtocolMessage {
    ProtocolMessage {
        error: Some(error),
        ..ProtocolMessage::new(Action::Disconnected)
    }
}
