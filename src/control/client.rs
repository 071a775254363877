//! Asks a supervisor over its control socket.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::net::lines::LineBuffer;
use crate::net::unix::{self, ConnectError};
use crate::protocol::control::{Event, Request};

/// How long connecting may take: only a full backlog makes it wait.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// The longest event: an effect of 4 MiB, every byte of it escaped. Memory is
/// taken for what comes only.
const EVENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why there is no answer, or no further one.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is nobody to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The supervisor took the connection and said nothing in time.
    #[error("the supervisor did not answer within {} ms", waited.as_millis())]
    TimedOut {
        /// How long it had.
        waited: Duration,
    },
    /// The exchange ended; if no final event came before, the supervisor died.
    #[error("the supervisor closed the connection")]
    Closed,
    /// The supervisor speaks another language.
    #[error("the supervisor's answer is not understood; is it another version?")]
    Foreign(#[source] serde_json::Error),
}

/// A request that was sent, and its answers to come.
#[derive(Debug)]
pub struct Exchange {
    stream: UnixStream,
    lines: LineBuffer,
}

impl Exchange {
    /// Sends `request` to the supervisor at `path`.
    ///
    /// # Errors
    ///
    /// When there is nobody to ask.
    pub async fn begin(path: &Path, request: &Request) -> Result<Self, ControlError> {
        let mut stream = unix::connect(path, CONNECT_PATIENCE).await?;
        let mut line = serde_json::to_vec(request).map_err(ControlError::Foreign)?;
        line.push(b'\n');
        let sent = timeout(CONNECT_PATIENCE, stream.write_all(&line)).await;
        match sent {
            Ok(Ok(())) => Ok(Self {
                stream,
                lines: LineBuffer::new(EVENT_BYTES_MAX),
            }),
            Ok(Err(_)) => Err(ControlError::Closed),
            Err(_) => Err(ControlError::TimedOut {
                waited: CONNECT_PATIENCE,
            }),
        }
    }

    /// The next event, within `patience`.
    ///
    /// # Errors
    ///
    /// When none came, or the exchange is over.
    pub async fn next(&mut self, patience: Duration) -> Result<Event, ControlError> {
        match timeout(patience, self.next_event()).await {
            Ok(event) => event,
            Err(_) => Err(ControlError::TimedOut { waited: patience }),
        }
    }

    async fn next_event(&mut self) -> Result<Event, ControlError> {
        loop {
            let line = self.lines.next_line().map_err(|_| ControlError::Closed)?;
            if let Some(line) = line {
                return serde_json::from_slice(line).map_err(ControlError::Foreign);
            }
            match self.lines.fill(&mut self.stream).await {
                Ok(1..) => {}
                _ => return Err(ControlError::Closed),
            }
        }
    }
}

/// Asks once and returns the first answer, within `patience`.
///
/// # Errors
///
/// See [`ControlError`].
pub async fn ask(
    path: &Path,
    request: &Request,
    patience: Duration,
) -> Result<Event, ControlError> {
    Exchange::begin(path, request).await?.next(patience).await
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::server::{self, Command};
    use super::*;
    use crate::net::unix::Listener;
    use crate::shutdown::{Drained, Shutdown};

    const PATIENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_request_gets_its_events_in_order_and_then_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let shutdown = Shutdown::new();
        let (commands, mut requests) = mpsc::channel(4);
        server::start(Listener::bind(&path).unwrap(), commands, &shutdown);

        let stop = Request::Stop {
            now: true,
            parts: Vec::new(),
            verb: None,
        };
        let mut exchange = Exchange::begin(&path, &stop).await.unwrap();
        let Command {
            request,
            events,
            peer,
        } = requests.recv().await.unwrap();
        assert_eq!(request, stop);
        assert_eq!(peer.unwrap().1, nix::unistd::geteuid().as_raw());
        for after_ms in [1, 2] {
            events
                .send(Event::Stopped {
                    after_ms,
                    left: None,
                })
                .await
                .unwrap();
            assert_eq!(
                exchange.next(PATIENCE).await.unwrap(),
                Event::Stopped {
                    after_ms,
                    left: None,
                }
            );
        }
        drop(events);
        assert!(matches!(
            exchange.next(PATIENCE).await,
            Err(ControlError::Closed)
        ));
        assert_eq!(shutdown.drain(PATIENCE).await, Drained::InTime);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn who_leaves_while_the_answer_is_awaited_frees_a_place_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let (commands, mut requests) = mpsc::channel(100);
        server::start(Listener::bind(&path).unwrap(), commands, &Shutdown::new());
        let mut unanswered = Vec::new();
        // Twice as many as are served at once.
        for _ in 0..64 {
            let exchange = Exchange::begin(&path, &Request::Status).await.unwrap();
            let asked = timeout(Duration::from_secs(5), requests.recv()).await;
            unanswered.push(asked.expect("it has a place").unwrap());
            drop(exchange);
        }
        for Command { events, .. } in unanswered {
            events.closed().await;
        }
    }

    #[tokio::test]
    async fn a_status_is_not_even_asked_for_those_who_have_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        // One that is busy, and takes nothing more.
        let (commands, mut requests) = mpsc::channel(1);
        let (events, _told) = mpsc::channel(1);
        let first = Command {
            request: Request::Reload,
            events,
            peer: None,
        };
        commands.try_send(first).unwrap();
        server::start(
            Listener::bind(&path).unwrap(),
            commands.clone(),
            &Shutdown::new(),
        );
        // Twice as many as are served at once.
        for _ in 0..64 {
            drop(Exchange::begin(&path, &Request::Status).await.unwrap());
        }
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{}\n").await.unwrap();
        let mut lines = LineBuffer::new(EVENT_BYTES_MAX);
        let refused = timeout(Duration::from_secs(5), lines.fill(&mut stream)).await;
        assert!(refused.expect("it has a place").unwrap() > 0);
        while commands.strong_count() > 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(requests.recv().await.unwrap().request, Request::Reload);
        assert!(requests.try_recv().is_err());
    }

    #[tokio::test]
    async fn silence_is_told_apart_from_absence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let absent = ask(&path, &Request::Status, PATIENCE).await;
        assert!(matches!(
            absent,
            Err(ControlError::Connect(ConnectError::Absent { .. }))
        ));
        let _silent = Listener::bind(&path).unwrap();
        let silent = ask(&path, &Request::Status, Duration::from_millis(20)).await;
        assert!(matches!(silent, Err(ControlError::TimedOut { .. })));
    }
}
