//! The publishing path's own encoder: a payload goes from base64 text into
//! wire form once, without a [`super::message::Message`] in between.
//!
//! [`Messages`] is the frozen content of one MESSAGE: encoded when the request
//! arrives, wrapped in its envelope when it is sent, and again when it is
//! resent under another serial. So a retry is always the same bytes.
//!
//! ```text
//! envelope  {action: 15, msgSerial, channel, messages: [ … ]}
//! message   {id?, name, data, encoding?, extras?: {headers: {"idempotency-key"}}}
//! ```
//!
//! Data is binary: msgpack `bin`; in JSON base64 text, `encoding: "base64"`.

use base64::Engine as _;
use bytes::{BufMut, Bytes, BytesMut};

use super::codec::Format;
use crate::protocol::base64::PAYLOAD;

/// Where a receiver finds the idempotency key: `extras.headers`.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Text that is not RFC 4648 standard base64 with padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be valid base64")]
pub struct BadBase64;

/// One message to publish, as a requester names it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    /// The client-supplied message id; empty is none.
    pub id: &'a str,
    /// The event name.
    pub name: &'a str,
    /// The payload.
    pub payload_b64: &'a str,
    /// Carried to receivers in the headers; empty is none.
    pub idempotency_key: &'a str,
}

/// The encoded messages of one publish; clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    format: Format,
    encoded: Bytes,
    count: u32,
    size: usize,
}

impl Messages {
    /// Encodes `drafts`, in order.
    ///
    /// # Errors
    ///
    /// When a payload is not base64.
    pub fn encode<'a>(
        format: Format,
        drafts: impl IntoIterator<Item = Draft<'a>>,
    ) -> Result<Self, BadBase64> {
        let mut out = BytesMut::new();
        let (mut count, mut size) = (0, 0);
        for draft in drafts {
            out.reserve(draft.payload_b64.len() + draft.name.len() + draft.id.len() + 128);
            if count > 0 && format == Format::Json {
                out.put_u8(b',');
            }
            size += match format {
                Format::Json => put_json(&mut out, &draft)?,
                Format::Msgpack => put_msgpack(&mut out, &draft)?,
            };
            count += 1;
        }
        Ok(Self {
            format,
            encoded: out.freeze(),
            count,
            size,
        })
    }

    /// How many messages these are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Their size as Ably limits it (TM6).
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many bytes they take in memory and, about, on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded.len()
    }

    /// Those bytes: the same for the same messages, ids included.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Appends the MESSAGE with these messages.
    pub fn put_protocol_message(&self, out: &mut BytesMut, msg_serial: u64, channel: &str) {
        out.reserve(self.encoded.len() + channel.len() + 64);
        match self.format {
            Format::Json => {
                out.put_slice(b"{\"action\":15,\"msgSerial\":");
                put_json_value(out, &msg_serial);
                out.put_slice(b",\"channel\":");
                put_json_value(out, channel);
                out.put_slice(b",\"messages\":[");
                out.put_slice(&self.encoded);
                out.put_slice(b"]}");
            }
            Format::Msgpack => {
                out.put_u8(0x84);
                msgpack::put_str(out, "action");
                out.put_u8(15);
                msgpack::put_str(out, "msgSerial");
                msgpack::put_uint(out, msg_serial);
                msgpack::put_str(out, "channel");
                msgpack::put_str(out, channel);
                msgpack::put_str(out, "messages");
                msgpack::put_array_len(out, self.count);
                out.put_slice(&self.encoded);
            }
        }
    }
}

/// Appends one message; returns its size (TM6).
fn put_json(out: &mut BytesMut, draft: &Draft) -> Result<usize, BadBase64> {
    let payload_len = PAYLOAD
        .decode(draft.payload_b64)
        .map_err(|_| BadBase64)?
        .len();
    out.put_u8(b'{');
    if !draft.id.is_empty() {
        out.put_slice(b"\"id\":");
        put_json_value(out, draft.id);
        out.put_u8(b',');
    }
    out.put_slice(b"\"name\":");
    put_json_value(out, draft.name);
    out.put_slice(b",\"data\":\"");
    out.put_slice(draft.payload_b64.as_bytes());
    out.put_slice(b"\",\"encoding\":\"base64\"");
    if !draft.idempotency_key.is_empty() {
        out.put_slice(b",\"extras\":{\"headers\":{\"idempotency-key\":");
        put_json_value(out, draft.idempotency_key);
        out.put_slice(b"}}");
    }
    out.put_u8(b'}');
    Ok(draft.name.len() + payload_len + extras_size(draft))
}

/// Appends one message; returns its size (TM6).
fn put_msgpack(out: &mut BytesMut, draft: &Draft) -> Result<usize, BadBase64> {
    let (has_id, has_key) = (!draft.id.is_empty(), !draft.idempotency_key.is_empty());
    out.put_u8(0x82 + u8::from(has_id) + u8::from(has_key));
    if has_id {
        msgpack::put_str(out, "id");
        msgpack::put_str(out, draft.id);
    }
    msgpack::put_str(out, "name");
    msgpack::put_str(out, draft.name);
    msgpack::put_str(out, "data");
    let payload_len = put_decoded(out, draft.payload_b64)?;
    if has_key {
        msgpack::put_str(out, "extras");
        out.put_u8(0x81);
        msgpack::put_str(out, "headers");
        out.put_u8(0x81);
        msgpack::put_str(out, IDEMPOTENCY_HEADER);
        msgpack::put_str(out, draft.idempotency_key);
    }
    Ok(draft.name.len() + payload_len + extras_size(draft))
}

/// Decodes `text` straight into a `bin`.
fn put_decoded(out: &mut BytesMut, text: &str) -> Result<usize, BadBase64> {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(BadBase64);
    }
    let len = text.len() / 4 * 3 - padding;
    msgpack::put_bin_len(out, len);
    let start = out.len();
    out.resize(start + len, 0);
    match PAYLOAD.decode_slice(text, &mut out[start..]) {
        Ok(written) if written == len => Ok(len),
        _ => Err(BadBase64),
    }
}

/// The length of the extras as JSON, which is how Ably counts them.
fn extras_size(draft: &Draft) -> usize {
    match draft.idempotency_key.len() {
        0 => 0,
        len => r#"{"headers":{"idempotency-key":""}}"#.len() + len,
    }
}

fn put_json_value(out: &mut BytesMut, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(out.writer(), value).expect("text and numbers serialize");
}

/// The few msgpack forms the publishing path needs.
mod msgpack {
    use bytes::{BufMut, BytesMut};

    pub(super) fn put_uint(out: &mut BytesMut, value: u64) {
        if let Ok(value) = u8::try_from(value) {
            if value >= 0x80 {
                out.put_u8(0xcc);
            }
            out.put_u8(value);
        } else if let Ok(value) = u16::try_from(value) {
            out.put_u8(0xcd);
            out.put_u16(value);
        } else if let Ok(value) = u32::try_from(value) {
            out.put_u8(0xce);
            out.put_u32(value);
        } else {
            out.put_u8(0xcf);
            out.put_u64(value);
        }
    }

    pub(super) fn put_str(out: &mut BytesMut, text: &str) {
        match u8::try_from(text.len()) {
            Ok(len) if len < 32 => out.put_u8(0xa0 | len),
            _ => put_len(out, text.len(), [0xd9, 0xda, 0xdb]),
        }
        out.put_slice(text.as_bytes());
    }

    pub(super) fn put_bin_len(out: &mut BytesMut, len: usize) {
        put_len(out, len, [0xc4, 0xc5, 0xc6]);
    }

    pub(super) fn put_array_len(out: &mut BytesMut, len: u32) {
        if let Ok(short) = u16::try_from(len) {
            match u8::try_from(short) {
                Ok(tiny) if tiny < 16 => out.put_u8(0x90 | tiny),
                _ => {
                    out.put_u8(0xdc);
                    out.put_u16(short);
                }
            }
        } else {
            out.put_u8(0xdd);
            out.put_u32(len);
        }
    }

    /// A length behind the marker for its width: 8, 16 or 32 bits.
    fn put_len(out: &mut BytesMut, len: usize, markers: [u8; 3]) {
        if let Ok(len) = u8::try_from(len) {
            out.put_u8(markers[0]);
            out.put_u8(len);
        } else if let Ok(len) = u16::try_from(len) {
            out.put_u8(markers[1]);
            out.put_u16(len);
        } else {
            out.put_u8(markers[2]);
            // An IPC line, and so a payload, is far shorter than 4 GiB.
            out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
