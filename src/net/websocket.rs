//! A client's websocket: opened, fed, flushed and read in one place.
//!
//! Frames are fed into a buffer and written together by the next
//! [`WebSocket::next`], so many protocol messages cost one system call. What
//! is fed and not yet written is bounded by [`WebSocket::has_room`]; whoever
//! feeds must ask it first. Pings are answered by the websocket itself.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::dial::{self, DialError, Origin};
use super::tls::Tls;

/// Bytes fed and not yet written, at which [`WebSocket::has_room`] is false.
const UNWRITTEN_MAX: usize = 256 * 1024;

/// Fed frames are written when they make this much, or with the next flush.
const WRITE_BYTES: usize = 64 * 1024;

/// Allocated at once for every websocket.
const READ_BYTES: usize = 16 * 1024;

/// The largest message a server may send us; Ably's frames stay under 512 KiB.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a websocket has ended that does not say.
const CLOSED: &str = "closed by the server";

/// Frames handed out by one [`WebSocket::next`].
const BATCH_MAX: usize = 256;

/// Why there is no websocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// No stream to the server.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server answered with another status than 101.
    #[error("the server answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// The value of `X-Ably-Errorcode`, if that was there.
        ably_code: Option<u32>,
        /// The value of `X-Ably-Errormessage`, if that was there.
        ably_message: Option<String>,
    },
    /// The handshake broke off or was wrong.
    #[error("the websocket handshake failed")]
    Handshake(#[source] Box<tungstenite::Error>),
    /// The handshake took too long.
    #[error("the websocket handshake took over {} ms", waited.as_millis())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// Frames, if any, were appended; something at least was heard.
    Heard,
    /// There is room again.
    Writable,
    /// The websocket has ended, because of this.
    Ended(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: WebSocketStream<dial::Stream>,
    /// Fed since everything was last written.
    unwritten: usize,
    /// Why no more will come.
    ended: Option<String>,
}

/// Opens a websocket at `path_and_query`, which may hold secrets and is never
/// shown.
///
/// # Errors
///
/// See [`OpenError`].
pub(crate) async fn open(
    origin: &Origin,
    tls: &Tls,
    path_and_query: &str,
    patience: Duration,
) -> Result<WebSocket, OpenError> {
    let stream = dial::dial(origin, tls, patience).await?;
    let scheme = if origin.secure { "wss" } else { "ws" };
    let url = format!("{scheme}://{}{path_and_query}", origin.authority());
    let request = url.into_client_request().map_err(handshake_error)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let shaking = client_async_with_config(request, stream, Some(config));
    match timeout(patience, shaking).await {
        Ok(Ok((stream, _))) => Ok(WebSocket {
            stream,
            unwritten: 0,
            ended: None,
        }),
        Ok(Err(error)) => Err(handshake_error(error)),
        Err(_) => Err(OpenError::TimedOut { waited: patience }),
    }
}

fn handshake_error(error: tungstenite::Error) -> OpenError {
    let tungstenite::Error::Http(response) = error else {
        return OpenError::Handshake(Box::new(error));
    };
    let header = |name| response.headers().get(name)?.to_str().ok();
    OpenError::Status {
        status: response.status().as_u16(),
        ably_code: header("x-ably-errorcode").and_then(|code| code.parse().ok()),
        ably_message: header("x-ably-errormessage").map(str::to_owned),
    }
}

impl WebSocket {
    /// Whether more may be fed.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten < UNWRITTEN_MAX
    }

    /// Puts a binary frame into the buffer.
    pub(crate) fn feed_binary(&mut self, frame: Bytes) {
        self.feed(frame.len(), Message::Binary(frame));
    }

    /// Puts a text frame into the buffer; `frame` must be UTF-8.
    pub(crate) fn feed_text(&mut self, frame: Bytes) {
        if let Ok(text) = Utf8Bytes::try_from(frame) {
            self.feed(text.len(), Message::Text(text));
        }
    }

    fn feed(&mut self, len: usize, message: Message) {
        // A frame's header and mask.
        self.unwritten += len + 14;
        // What went wrong is what the next read says, too.
        _ = Pin::new(&mut self.stream).start_send(message);
    }

    /// Writes what was fed and waits for something to come; appends the
    /// payloads of all frames that are there to `frames`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing is lost.
    pub(crate) async fn next(&mut self, frames: &mut Vec<Bytes>) -> Incoming {
        poll_fn(|cx| self.poll(cx, frames)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>) -> Poll<Incoming> {
        let had_room = self.has_room();
        if self.unwritten > 0 {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unwritten = 0,
                Poll::Ready(Err(error)) => return Poll::Ready(Incoming::Ended(error.to_string())),
                Poll::Pending => {}
            }
        }
        match self.poll_frames(cx, frames) {
            Poll::Pending if !had_room && self.has_room() => Poll::Ready(Incoming::Writable),
            polled => polled,
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>) -> Poll<Incoming> {
        let mut heard = 0;
        while self.ended.is_none() && heard < BATCH_MAX {
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending if heard > 0 => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => {
                    heard += 1;
                    self.take(message, frames);
                }
                Poll::Ready(Some(Err(error))) => self.ended = Some(error.to_string()),
                Poll::Ready(None) => self.ended = Some(CLOSED.to_owned()),
            }
        }
        // What came before the end is handed out before it.
        match &self.ended {
            Some(why) if heard == 0 => Poll::Ready(Incoming::Ended(why.clone())),
            _ => Poll::Ready(Incoming::Heard),
        }
    }

    fn take(&mut self, message: Message, frames: &mut Vec<Bytes>) {
        match message {
            Message::Binary(frame) => frames.push(frame),
            Message::Text(text) => frames.push(text.into()),
            // The server's last word; it may leave the socket open.
            Message::Close(frame) => {
                let why = frame.map(|frame| frame.to_string());
                self.ended = Some(why.unwrap_or_else(|| CLOSED.to_owned()));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    /// Says goodbye, as far as that takes no waiting.
    pub(crate) fn hang_up(mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        _ = Pin::new(&mut self.stream).poll_close(&mut cx);
    }
}

#[cfg(test)]
mod tests;
