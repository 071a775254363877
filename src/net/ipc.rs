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

mod features;
mod wire;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lines::LineTooLong;
use super::unix::{self, ConnectError};
use crate::backoff::Backoff;
pub(crate) use features::Features;
use wire::{Moved, Wire};

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

    /// The socket it connects to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
        wire.out()
    }

    /// Writes what the connection takes at once: whoever is to answer it need not
    /// wait for what its owner does before the next [`event`](Self::event), which
    /// writes the rest and says what failed.
    pub(crate) fn push(&mut self) {
        if let Link::Up(wire) = &mut self.link
            && let Err(why) = wire.push()
        {
            wire.have_broken(why);
        }
    }

    /// The next line that was read, or `None` until [`Event::Lines`].
    ///
    /// # Errors
    ///
    /// When the stream is no lines any more. The connection should be
    /// [dropped](Self::disconnect).
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        match &mut self.link {
            Link::Up(wire) => wire.next_line(),
            Link::Down { .. } | Link::Dialing(_) | Link::Greeting { .. } => Ok(None),
        }
    }

    /// Closes the connection; the next [`event`](Self::event) dials again.
    pub(crate) fn disconnect(&mut self) {
        if let Link::Up(wire) = &self.link
            && wire.age() >= GOOD_LIFE
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
        let broken = wire.take_trouble().map(Lost::Write);
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

#[cfg(test)]
mod tests;
