//! Protocol messages on a websocket: frames in, an outbox out.

use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use crate::emulator::limits::FRAME_BYTES_MAX;
use crate::protocol::ably::codec::{self, Format};
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, ProtocolMessage};
use crate::report::Report;

/// How long a client may take none of what is written to it.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How websockets are read and written.
pub(in crate::emulator) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(32 * 1024)
        .write_buffer_size(64 * 1024)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

/// Frames to be written, all of one format.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) format: Format,
    pub(super) frames: Vec<Bytes>,
    /// Bytes of frames pushed since the last write, those of channels aside.
    pushed: usize,
}

impl Outbox {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            frames: Vec::new(),
            pushed: 0,
        }
    }

    pub(super) fn push(&mut self, message: &ProtocolMessage) {
        let frame = codec::encode(self.format, message);
        self.pushed += frame.len();
        self.frames.push(frame.into());
    }

    /// Bytes of answers that wait to be written.
    pub(super) fn bytes(&self) -> usize {
        self.pushed
    }

    pub(super) fn push_error(&mut self, channel: Option<&str>, error: ErrorInfo) {
        self.push(&ProtocolMessage {
            channel: channel.map(ToOwned::to_owned),
            error: Some(error),
            ..ProtocolMessage::new(Action::Error)
        });
    }
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("the websocket failed")]
    Socket(#[from] tungstenite::Error),
    #[error("the client has read nothing for {WRITE_STALL:?}")]
    Stalled,
}

/// A websocket, and whether a ping is wanted on it.
pub(super) struct Socket<S> {
    pub(super) socket: WebSocketStream<S>,
    /// A ping is to be sent with the next write.
    pub(super) ping: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Writes and flushes every frame of `outbox`.
    pub(super) async fn write(&mut self, outbox: &mut Outbox) -> Result<(), SessionError> {
        let write = async {
            if std::mem::take(&mut self.ping) {
                self.socket.feed(Frame::Ping(Bytes::new())).await?;
            }
            outbox.pushed = 0;
            for frame in outbox.frames.drain(..) {
                self.socket.feed(wrap(outbox.format, frame)).await?;
            }
            self.socket.flush().await
        };
        let written = tokio::time::timeout(WRITE_STALL, write).await;
        Ok(written.map_err(|_| SessionError::Stalled)??)
    }

    /// Closes, without waiting long for a client that does not answer.
    pub(super) async fn close(&mut self) {
        _ = tokio::time::timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// The websocket frame for an encoded message.
fn wrap(format: Format, frame: Bytes) -> Frame {
    match format {
        Format::Msgpack => Frame::Binary(frame),
        Format::Json => Frame::Text(frame.try_into().expect("JSON is UTF-8")),
    }
}

/// The protocol message in a frame; `None` for the websocket's own.
pub(super) fn decode(frame: Frame) -> Result<Option<ProtocolMessage>, ErrorInfo> {
    let decoded = match frame {
        Frame::Text(text) => codec::decode(Format::Json, &text.into()),
        Frame::Binary(bytes) => codec::decode(Format::Msgpack, &bytes),
        _ => return Ok(None),
    };
    decoded
        .map(Some)
        .map_err(|error| ErrorInfo::new(40000, Report(&error).to_string()))
}
