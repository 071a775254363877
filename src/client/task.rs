//! The task behind a client: one connection, or the way to the next one.

use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::window::Window;
use super::{Failed, Submission};
use crate::backoff::Backoff;
use crate::failpoint::{self, Point};
use crate::net::unix::{self, ConnectError};
use crate::protocol::frame::{self, Decoded, Decoder, FLAG_ORDERED, Kind, Status};

/// How long one attempt to connect may wait for a busy listener.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// Delays between attempts to connect.
const REDIAL: Backoff = Backoff {
    base: Duration::from_millis(10),
    cap: Duration::from_millis(500),
};

/// Unwritten frames beyond which no more are added.
const OUT_BYTES_HIGH: usize = 256 * 1024;

/// What one read asks for.
const READ_BYTES: usize = 16 * 1024;

/// Runs until every handle is gone and nothing is unacked.
///
/// A connection that is silent for so long while it owes an answer is given up.
pub(super) async fn run(
    socket: PathBuf,
    silence: Duration,
    mut submissions: mpsc::Receiver<Submission>,
) {
    let mut window = Window::default();
    let mut link = Link::new(socket);
    let mut submitted = Vec::new();
    let mut may_submit = true;
    while may_submit || !window.is_empty() {
        link.send(&mut window);
        let give_up_at = window.poll_timeout().map(Instant::from_std);
        let silent_at = link.heard_at(&window).map(|at| at + silence);
        let room = window.room();
        let event = tokio::select! {
            taken = submissions.recv_many(&mut submitted, room), if may_submit && room > 0 => {
                Event::Submitted(taken)
            }
            happened = link.event(window.is_empty()) => Event::Link(happened),
            () = until(give_up_at) => Event::GiveUp,
            () = until(silent_at) => Event::Silent,
        };
        match event {
            Event::Submitted(taken) => may_submit = taken > 0,
            Event::Link(Happened::Lost) => window.handle_disconnected(now()),
            Event::Link(Happened::Read) => link.read(&mut window),
            Event::Link(Happened::Moved) => {}
            Event::GiveUp => window.handle_timeout(now()),
            Event::Silent => {
                tracing::debug!("Falco says nothing; will connect again.");
                link.lose();
                window.handle_disconnected(now());
            }
        }
        for submission in submitted.drain(..) {
            window.push(submission);
        }
    }
}

enum Event {
    /// How many; none means that there will be no more.
    Submitted(usize),
    Link(Happened),
    GiveUp,
    Silent,
}

/// What happened on the link.
enum Happened {
    /// There may be acks.
    Read,
    /// It came closer to a connection, or wrote something.
    Moved,
    /// The connection is gone.
    Lost,
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

type Dial = Pin<Box<dyn Future<Output = Result<UnixStream, ConnectError>> + Send>>;

/// The connection, or what is done to get one.
struct Link {
    socket: PathBuf,
    state: State,
    /// Connections lost or not made since the last ack.
    failures: u32,
}

enum State {
    Down { retry_at: Instant },
    Dialing(Dial),
    Up(Box<Wire>),
}

struct Wire {
    stream: UnixStream,
    /// When something was read last, or nothing was owed.
    heard: Instant,
    decoder: Decoder,
    input: BytesMut,
    out: BytesMut,
}

impl Link {
    fn new(socket: PathBuf) -> Self {
        let retry_at = Instant::now();
        Self {
            socket,
            state: State::Down { retry_at },
            failures: 0,
        }
    }

    /// Puts on the connection what has not been on it.
    fn send(&mut self, window: &mut Window) {
        let State::Up(wire) = &mut self.state else {
            return;
        };
        if !window.is_owed() {
            wire.heard = Instant::now();
        }
        while wire.out.len() < OUT_BYTES_HIGH {
            let Some(next) = window.next_unsent() else {
                return;
            };
            let flags = if next.is_ordered { FLAG_ORDERED } else { 0 };
            frame::encode(Kind::SideEffect, flags, next.id, next.body, &mut wire.out);
        }
    }

    /// Since when an answer is waited for in vain, if one is.
    fn heard_at(&self, window: &Window) -> Option<Instant> {
        match &self.state {
            State::Up(wire) if window.is_owed() => Some(wire.heard),
            _ => None,
        }
    }

    /// Waits for the next thing to happen. Without work there is no reason to
    /// connect.
    ///
    /// Cancel safe: what was begun is kept here.
    async fn event(&mut self, is_idle: bool) -> Happened {
        match &mut self.state {
            State::Down { .. } if is_idle => pending().await,
            State::Down { retry_at } => {
                sleep_until(*retry_at).await;
                let socket = self.socket.clone();
                let dial = async move { unix::connect(&socket, DIAL_PATIENCE).await };
                self.state = State::Dialing(Box::pin(dial));
                Happened::Moved
            }
            State::Dialing(dial) => {
                let dialed = dial.await;
                self.dialed(dialed)
            }
            State::Up(wire) => match wire.moved().await {
                Ok(happened) => happened,
                Err(error) => {
                    tracing::debug!(%error, "Connection to Falco lost; will connect again.");
                    self.lose()
                }
            },
        }
    }

    fn dialed(&mut self, dialed: Result<UnixStream, ConnectError>) -> Happened {
        match dialed {
            Ok(stream) => {
                self.state = State::Up(Box::new(Wire::new(stream)));
                Happened::Moved
            }
            Err(error) => {
                tracing::debug!(%error, "Falco is not there; will try again.");
                self.lose()
            }
        }
    }

    fn lose(&mut self) -> Happened {
        let retry_at = Instant::now() + REDIAL.delay(self.failures, rand::random());
        self.failures = self.failures.saturating_add(1);
        self.state = State::Down { retry_at };
        Happened::Lost
    }

    /// Settles what was acked.
    fn read(&mut self, window: &mut Window) {
        let State::Up(wire) = &mut self.state else {
            return;
        };
        loop {
            match wire.decoder.decode(&mut wire.input) {
                Ok(Some(Decoded::Frame { code, id, body })) => {
                    self.failures = 0;
                    window.handle_ack(id, fate(code, &body), now(), rand::random());
                }
                Ok(Some(Decoded::Mismatch { .. } | Decoded::TooLarge { .. })) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "Falco sent what is no ack; will connect again.");
                    window.handle_disconnected(now());
                    self.lose();
                    return;
                }
            }
        }
    }
}

impl Wire {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            heard: Instant::now(),
            decoder: Decoder::new(Kind::PublishAck, frame::Limits::default()),
            input: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    async fn moved(&mut self) -> io::Result<Happened> {
        let (mut reader, mut writer) = self.stream.split();
        let missing = self.decoder.missing(&self.input);
        self.input.reserve(missing.max(READ_BYTES));
        let read = tokio::select! {
            wrote = writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                failpoint::reach(Point::EffectsWritten);
                return wrote.map(|_| Happened::Moved);
            }
            read = reader.read_buf(&mut self.input) => read?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        failpoint::reach(Point::AcksRead);
        self.heard = Instant::now();
        Ok(Happened::Read)
    }
}

/// What an ack says. An unknown status is a failure nobody can name.
fn fate(code: u8, body: &[u8]) -> Result<(), Failed> {
    if Status::from_code(code) == Some(Status::Success) {
        return Ok(());
    }
    Err(Failed::new(String::from_utf8_lossy(body)))
}
