//! Requests as lines, written straight into the output buffer: payloads are
//! base64-encoded in place, nothing is built first.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use base64::Engine as _;
use bytes::{BufMut, BytesMut};

use crate::protocol::base64::PAYLOAD;

/// A message of a publish or of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a, Key> {
    /// The event name.
    pub event: &'a str,
    /// The bytes to publish.
    pub payload: &'a [u8],
    /// What makes copies of it recognisable.
    pub key: &'a Key,
}

/// Appends a `publish.v1`; the key is also the message id.
pub fn publish<Key: Display>(
    out: &mut BytesMut,
    request_id: &impl Display,
    channel: &str,
    message: &Message<'_, Key>,
    timeout: Duration,
) {
    let mut line = Line::begin(out, "publish.v1", request_id);
    line.text("channel", channel);
    line.message(message, message.key);
    line.number("timeout_ms", timeout.as_millis());
    line.end();
}

/// Appends a `publish.batch.v1`; message ids are `<base>:<index>`.
pub fn publish_batch<'a, Key: Display + 'a>(
    out: &mut BytesMut,
    request_id: &impl Display,
    channel: &str,
    base: &impl Display,
    messages: impl IntoIterator<Item = Message<'a, Key>>,
    timeout: Duration,
) {
    let mut line = Line::begin(out, "publish.batch.v1", request_id);
    line.text("channel", channel);
    line.number("timeout_ms", timeout.as_millis());
    line.name("messages");
    for (index, message) in messages.into_iter().enumerate() {
        line.out.put_u8(if index == 0 { b'[' } else { b',' });
        line.separator = b'{';
        line.message(&message, &format_args!("{base}:{index}"));
        line.out.put_u8(b'}');
    }
    line.out.put_u8(b']');
    line.end();
}

/// Appends an `object.set.v1`.
pub fn object_set(
    out: &mut BytesMut,
    request_id: &impl Display,
    channel: &str,
    key: &str,
    value: &[u8],
    timeout: Duration,
) {
    let mut line = Line::begin(out, "object.set.v1", request_id);
    line.text("channel", channel);
    line.text("key", key);
    line.base64("value_b64", value);
    line.number("timeout_ms", timeout.as_millis());
    line.end();
}

/// Appends a `hello.v1`.
pub fn hello(out: &mut BytesMut, request_id: &impl Display) {
    Line::begin(out, "hello.v1", request_id).end();
}

/// Appends a `subscribe.v1`; no event means all events.
pub fn subscribe(
    out: &mut BytesMut,
    request_id: usize,
    subscription_id: &str,
    channel: &str,
    event: Option<&str>,
) {
    let mut line = Line::begin(out, "subscribe.v1", &request_id);
    line.text("subscription_id", subscription_id);
    line.text("channel", channel);
    if let Some(event) = event {
        line.text("event", event);
    }
    line.end();
}

/// One line being written.
struct Line<'a> {
    out: &'a mut BytesMut,
    /// What stands before the next field: `{` or `,`.
    separator: u8,
}

impl<'a> Line<'a> {
    fn begin(out: &'a mut BytesMut, op: &str, request_id: &impl Display) -> Self {
        let separator = b'{';
        let mut line = Self { out, separator };
        line.text("op", op);
        line.plain("request_id", request_id);
        line
    }

    fn end(self) {
        self.out.put_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        self.out.put_u8(self.separator);
        self.separator = b',';
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_text(self.out, value);
    }

    /// A value made of characters that JSON takes as they are.
    fn plain(&mut self, name: &str, value: &impl Display) {
        self.name(name);
        write!(self.out, "\"{value}\"").expect("a buffer takes all that is written");
    }

    fn number(&mut self, name: &str, value: u128) {
        self.name(name);
        write!(self.out, "{value}").expect("a buffer takes all that is written");
    }

    fn base64(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        self.out.put_u8(b'"');
        let start = self.out.len();
        self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        PAYLOAD
            .encode_slice(bytes, &mut self.out[start..])
            .expect("base64 is four bytes for every three begun");
        self.out.put_u8(b'"');
    }

    fn message<Key: Display>(&mut self, message: &Message<'_, Key>, id: &impl Display) {
        self.text("event", message.event);
        self.base64("payload_b64", message.payload);
        self.shown("message_id", id);
        self.shown("idempotency_key", message.key);
    }

    /// A value that may hold anything once it is displayed.
    fn shown(&mut self, name: &str, value: &impl Display) {
        self.name(name);
        let start = self.out.len();
        write!(self.out, "\"{value}\"").expect("a buffer takes all that is written");
        let inner = &self.out[start + 1..self.out.len() - 1];
        if inner.iter().any(|byte| needs_escape(*byte)) {
            let value = String::from_utf8_lossy(inner).into_owned();
            self.out.truncate(start);
            write_text(self.out, &value);
        }
    }
}

fn write_text(out: &mut BytesMut, value: &str) {
    serde_json::to_writer(out.writer(), value).expect("text serializes");
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests;
