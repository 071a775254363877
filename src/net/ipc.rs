//! A client of `ably.sock`: connects, greets, reconnects, and moves lines.
//!
//! Owns the connection and its buffers. It dials for as long as it is asked
//! for events; whoever owns it writes requests into [`IpcClient::out`] and
//! reads answers from [`IpcClient::next_line`].
//!
//! ```text
//! Down ──delay over──▶ Dialing ──connected──▶ Greeting ──answered, or silence──▶ Up
//!  ▲                      │                      │                              │
//!  └──────────────────────┴───── refused, lost, end of stream, garbage ─────────┘
//! ```
//!
//! A transport that knows `hello.v1` says what it can do; one that does not
//! never answers, and counts as the predecessor after 250 ms of silence. An answer that comes late is
//! an ordinary line for the owner.
//!
//! Never matches answers to requests, and never sends a request twice.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lines::{LineBuffer, LineTooLong};
use super::unix::{self, ConnectError};
use crate::backoff::Backoff;
use crate::protocol::ipc::{self, Incoming};

/// How long a transport may take to answer the greeting.
///
/// An old one never does, so this is what each of its connections costs.
const GREETING_PATIENCE: Duration = Duration::from_millis(250);

/// The `request_id` of the greeting.
pub(crate) const GREETING_ID: &str = "hello";

/// How long one attempt to connect may wait for a busy listener.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// The same, of one that has answered before on this path: it will again, and
/// until it has, it is not known what it can do.
const KNOWN_GREETING_PATIENCE: Duration = Duration::from_secs(2);

/// Delays between attempts while something waits. A unix socket costs
/// microseconds to try, so the cap is low: what waits in Falco waits no longer
/// than that.
const REDIAL: Backoff = Backoff {
    base: Duration::from_millis(10),
    cap: Duration::from_millis(200),
};

/// Delays between attempts while nothing does.
const IDLE_REDIAL: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(3),
};

/// A connection that lived so long, or answered anything, was a good one.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// How long a wire that takes nothing any more may still bring answers.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// The longest line taken from a transport: a message of the largest payload
/// it accepts itself, and room to spare.
const LINE_BYTES_MAX: usize = 2 * ipc::LINE_BYTES_MAX;

/// Beyond this many unwritten bytes nothing more should be written.
const OUT_BYTES_HIGH: usize = 256 * 1024;

/// What happened on the connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is a connection, and this is what the other side can do.
    Connected(Features),
    /// There is none any more; lines not yet written are lost with it.
    Disconnected(Lost),
    /// [`IpcClient::next_line`] may have lines.
    Lines,
    /// There is room in [`IpcClient::out`] again.
    Room,
}

/// What the other side can do beyond the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// It answered the greeting.
    pub greeted: bool,
    /// It knows `publish.batch.v1`.
    pub batches: bool,
    /// The longest line it reads, newline excluded.
    pub line_bytes_max: usize,
}

impl Default for Features {
    /// The predecessor's.
    fn default() -> Self {
        Self {
            greeted: false,
            batches: false,
            line_bytes_max: ipc::LINE_BYTES_MAX,
        }
    }
}

impl Features {
    /// What a `hello.ack.v1` says.
    pub(crate) fn of(hello: &Incoming<'_>) -> Self {
        let features = hello.features.as_deref().unwrap_or_default();
        Self {
            greeted: true,
            batches: features.iter().any(|name| name == "publish.batch.v1"),
            line_bytes_max: hello.max_line_bytes.unwrap_or(ipc::LINE_BYTES_MAX),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the transport closed the connection")]
    Closed,
    #[error("failed to read from the transport")]
    Read(#[source] std::io::Error),
    #[error("failed to write to the transport")]
    Write(#[source] std::io::Error),
    #[error("the transport sent garbage")]
    Line(#[from] LineTooLong),
}

/// A connection that comes back.
#[derive(Debug)]
pub(crate) struct IpcClient {
    path: PathBuf,
    link: Link,
    /// Attempts since the last good connection.
    failures: u32,
    /// The last connection's greeting was answered.
    knows_greeting: bool,
}

#[derive(Debug)]
enum Link {
    Down {
        retry_at: Instant,
        /// The same, while nobody waits for it.
        idle_retry_at: Instant,
    },
    Dialing(Dial),
    Greeting {
        wire: Wire,
        until: Instant,
    },
    Up(Wire),
}

/// A connection attempt, kept here so that dropping `event` loses nothing.
struct Dial(Pin<Box<dyn Future<Output = Result<UnixStream, ConnectError>> + Send>>);

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}

#[derive(Debug)]
struct Wire {
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
enum Moved {
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    /// The last answers of a broken wire have had their time.
    Over,
}

impl IpcClient {
    /// A client of the socket at `path`; it connects once [`event`](Self::event)
    /// is awaited.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            link: Link::down(Duration::ZERO, Duration::ZERO),
            failures: 0,
            knows_greeting: false,
        }
    }

    /// Waits for the next thing to happen; writes what is in the buffer
    /// meanwhile. While a connection is lost it is dialed often if it `is_wanted`
    /// now, else rarely.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing is lost: neither a connection nor a
    /// byte.
    pub(crate) async fn event(&mut self, is_wanted: bool) -> Event {
        loop {
            let event = match &mut self.link {
                Link::Down {
                    retry_at,
                    idle_retry_at,
                } => {
                    sleep_until(if is_wanted { *retry_at } else { *idle_retry_at }).await;
                    self.dial();
                    None
                }
                Link::Dialing(dial) => {
                    let dialed = (&mut dial.0).await;
                    self.dialed(dialed);
                    None
                }
                Link::Greeting { wire, until } => {
                    let moved = timeout_at(*until, wire.moved()).await;
                    self.greeted(moved.ok().as_ref())
                }
                Link::Up(wire) => {
                    let moved = wire.moved().await;
                    self.moved(moved)
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Where to write requests: `None` while there is no connection or too much
    /// is unwritten already. [`Event::Connected`] or [`Event::Room`] says when
    /// to ask again.
    pub(crate) fn out(&mut self) -> Option<&mut BytesMut> {
        let Link::Up(wire) = &mut self.link else {
            return None;
        };
        wire.is_clogged |= wire.out.len() >= OUT_BYTES_HIGH;
        (!wire.is_clogged).then_some(&mut wire.out)
    }

    /// The next line that was read, or `None` until [`Event::Lines`].
    ///
    /// # Errors
    ///
    /// When the stream is no lines any more. The connection should be
    /// [dropped](Self::disconnect).
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        match &mut self.link {
            Link::Up(wire) => wire.lines.next_line(),
            Link::Down { .. } | Link::Dialing(_) | Link::Greeting { .. } => Ok(None),
        }
    }

    /// Closes the connection; the next [`event`](Self::event) dials again.
    pub(crate) fn disconnect(&mut self) {
        if let Link::Up(wire) = &self.link
            && wire.since.elapsed() >= GOOD_LIFE
        {
            self.failures = 0;
        }
        let delay = |backoff: Backoff| backoff.delay(self.failures, rand::random());
        self.link = Link::down(delay(REDIAL), delay(IDLE_REDIAL));
        self.failures = self.failures.saturating_add(1);
    }

    fn dial(&mut self) {
        let path = self.path.clone();
        let dial = async move { unix::connect(&path, DIAL_PATIENCE).await };
        self.link = Link::Dialing(Dial(Box::pin(dial)));
    }

    fn dialed(&mut self, dialed: Result<UnixStream, ConnectError>) {
        match dialed {
            Ok(stream) => {
                let wire = Wire::greeting(stream);
                let patience = if self.knows_greeting {
                    KNOWN_GREETING_PATIENCE
                } else {
                    GREETING_PATIENCE
                };
                let until = Instant::now() + patience;
                self.link = Link::Greeting { wire, until };
            }
            Err(error) => {
                let attempt = self.failures;
                let error = crate::report::Report(&error).to_string();
                tracing::debug!(attempt, error, "Transport is not there; will try again.");
                self.disconnect();
            }
        }
    }

    /// Decides what the other side is from what it answered, `None` when its
    /// time is over.
    fn greeted(&mut self, moved: Option<&Moved>) -> Option<Event> {
        let Link::Greeting { wire, .. } = &mut self.link else {
            return None;
        };
        let features = match moved {
            None => Some(Features::default()),
            Some(Moved::Read(Ok(1..))) => wire.greeting_answer(),
            Some(Moved::Wrote(Ok(_))) => None,
            Some(Moved::Read(_) | Moved::Wrote(Err(_)) | Moved::Over) => {
                self.disconnect();
                return None;
            }
        }?;
        let down = Link::down(Duration::ZERO, Duration::ZERO);
        if let Link::Greeting { wire, .. } = std::mem::replace(&mut self.link, down) {
            self.link = Link::Up(wire);
        }
        self.knows_greeting = features.greeted;
        Some(Event::Connected(features))
    }

    fn moved(&mut self, moved: Moved) -> Option<Event> {
        let Link::Up(wire) = &mut self.link else {
            return None;
        };
        let lost = match moved {
            Moved::Read(Ok(1..)) => {
                self.failures = 0;
                return Some(Event::Lines);
            }
            Moved::Wrote(Ok(_)) => return wire.has_room_again().then_some(Event::Room),
            Moved::Wrote(Err(why)) => {
                wire.have_broken(why);
                return None;
            }
            Moved::Read(Ok(0)) | Moved::Over => Lost::Closed,
            Moved::Read(Err(error)) => Lost::Read(error),
        };
        let broken = wire.broken.take().map(|broken| Lost::Write(broken.why));
        self.disconnect();
        Some(Event::Disconnected(broken.unwrap_or(lost)))
    }
}

impl Link {
    fn down(delay: Duration, idle_delay: Duration) -> Self {
        let now = Instant::now();
        Self::Down {
            retry_at: now + delay,
            idle_retry_at: now + idle_delay,
        }
    }
}

impl Wire {
    /// A connection with the greeting in its output buffer.
    fn greeting(stream: UnixStream) -> Self {
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

    /// Waits until something was read or written. What was to be written goes
    /// first: answers can only follow.
    async fn moved(&mut self) -> Moved {
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

    /// The other side takes nothing any more. Answers it gave before are still
    /// to be read.
    fn have_broken(&mut self, why: std::io::Error) {
        self.out.clear();
        self.is_clogged = true;
        let until = Instant::now() + LAST_LINES_MAX;
        self.broken = Some(Broken { why, until });
    }

    /// Looks for the answer to the greeting among the lines; nothing else was
    /// asked, so all others mean nothing.
    fn greeting_answer(&mut self) -> Option<Features> {
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

    fn has_room_again(&mut self) -> bool {
        let room = self.is_clogged && self.out.len() < OUT_BYTES_HIGH / 2;
        self.is_clogged &= !room;
        room
    }
}

#[cfg(test)]
mod tests;
