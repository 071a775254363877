//! The binary frames of `falco.sock` and `nagato.sock`.
//!
//! All integers are little-endian. `total_len` counts everything behind
//! itself, so a whole frame is `4 + total_len` bytes.
//!
//! ```text
//! byte   0        4     5      6          8           24            28
//!        total_len type  code   reserved   id          body_len      body
//!        u32      u8    u8     u16        16 bytes    u32           body_len bytes
//! ```
//!
//! | type | frame | from | code | body |
//! |---|---|---|---|---|
//! | 0x01 | Command | Nagato | flags | payload |
//! | 0x02 | DaemonDecision | daemon | 0x01 ack, 0x02 do not ack | result |
//! | 0x03 | SideEffect | daemon | flags | JSON |
//! | 0x04 | PublishAck | Falco | 0x01 SUCCESS, 0x02 FAILED | error text, UTF-8 |
//!
//! [`Decoder`] takes bytes as they come, however they are split, and copies
//! each body out once, so that an effect pins its own bytes and no others.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::id::EffectId;

/// The bytes of `total_len` itself.
const PREFIX_BYTES: usize = 4;

/// What `total_len` is for an empty body: type, code, reserved, id, body_len.
pub const HEADER_BYTES: u32 = 24;

/// Everything in front of a body.
pub const OVERHEAD_BYTES: usize = PREFIX_BYTES + HEADER_BYTES as usize;

/// A flag of a SideEffect frame: publish it only after what came before it on
/// this connection in its lane.
///
/// While an earlier effect of the lane has failed and was not sent again under
/// its id, the frame is answered `gap`. An addition of ours: without it a frame
/// that is on its way while its predecessor fails is published all the same.
/// Daemons that write 0, as all earlier ones do, are served as before.
pub const FLAG_ORDERED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Nagato hands the daemon a command.
    Command = 0x01,
    /// The daemon says what became of it.
    Decision = 0x02,
    /// The daemon hands Falco a side effect.
    SideEffect = 0x03,
    /// Falco says what became of it.
    PublishAck = 0x04,
}

/// What a PublishAck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Published.
    Success,
    /// Not published, or not known to be; the body says why.
    Failed,
}

impl Status {
    /// The status byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0x01,
            Self::Failed => 0x02,
        }
    }

    /// The status a byte stands for, if any.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Success),
            0x02 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// How long a frame may be, as `total_len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longer frames are not kept: their bytes are read and forgotten.
    pub frame_bytes_max: usize,
    /// Of still longer ones only the header is read: such a length is more likely
    /// garbage than a frame.
    pub drain_bytes_max: usize,
}

impl Default for Limits {
    /// 4 MiB, drained up to 16 MiB.
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 * 1024 * 1024,
            drain_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// What a stream of frames yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame.
    Frame {
        /// Flags or status, by the frame's type.
        code: u8,
        /// Whose frame it is.
        id: EffectId,
        /// The body, in an allocation of its own.
        body: Bytes,
    },
    /// A frame whose body length contradicts its total length.
    Mismatch {
        /// Whose frame it was.
        id: EffectId,
        /// What the inner length said.
        body_len: u32,
        /// What the outer length leaves for the body.
        expected: u32,
    },
    /// A frame over the limit, by now read and forgotten.
    TooLarge {
        /// Whose frame it was.
        id: EffectId,
        /// Its length.
        total_len: u32,
    },
}

/// Why the bytes cannot be cut into frames any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is too short for a header.
    #[error("frame length {total_len} is shorter than the {HEADER_BYTES} bytes of a header")]
    TooShort {
        /// The length read.
        total_len: u32,
    },
    /// The length is beyond what is drained; its header is whole, so that it can
    /// be answered.
    #[error("frame length {total_len} is over the {max} bytes that are read at most")]
    TooLong {
        /// Whose frame it is.
        id: EffectId,
        /// The length read.
        total_len: u32,
        /// [`Limits::drain_bytes_max`].
        max: usize,
    },
    /// Another type than the one that belongs here.
    #[error("frame type {found:#04x} where {expected:#04x} belongs")]
    WrongKind {
        /// The type read.
        found: u8,
        /// The type of every frame in this direction.
        expected: u8,
    },
}

/// Cuts a stream of bytes into frames of one kind.
#[derive(Debug)]
pub struct Decoder {
    kind: Kind,
    limits: Limits,
    draining: Option<Draining>,
}

/// A frame over the limit, whose bytes are being dropped.
#[derive(Debug)]
struct Draining {
    id: EffectId,
    total_len: u32,
    left: usize,
}

/// The fields in front of a body.
struct Header {
    total_len: u32,
    code: u8,
    id: EffectId,
    body_len: u32,
}

impl Decoder {
    /// A decoder for a stream that carries only `kind`.
    #[must_use]
    pub fn new(kind: Kind, limits: Limits) -> Self {
        Self {
            kind,
            limits,
            draining: None,
        }
    }

    /// Whether the stream may end here: no frame has been begun.
    ///
    /// `input` is the buffer given to [`decode`](Self::decode).
    #[must_use]
    pub fn is_between_frames(&self, input: &BytesMut) -> bool {
        self.draining.is_none() && input.is_empty()
    }

    /// Takes the next frame off the front of `input`; `None` until more bytes
    /// come.
    ///
    /// # Errors
    ///
    /// When the bytes cannot be framed; nothing behind them can be trusted.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Decoded>, FrameError> {
        if self.draining.is_some() {
            return Ok(self.drain(input));
        }
        self.check_start(input)?;
        let Some(header) = read_header(input) else {
            return Ok(None);
        };
        let total_len = header.total_len as usize;
        if total_len > self.limits.drain_bytes_max {
            return Err(FrameError::TooLong {
                id: header.id,
                total_len: header.total_len,
                max: self.limits.drain_bytes_max,
            });
        }
        if total_len > self.limits.frame_bytes_max {
            input.advance(OVERHEAD_BYTES);
            self.draining = Some(Draining {
                id: header.id,
                total_len: header.total_len,
                left: total_len - HEADER_BYTES as usize,
            });
            return Ok(self.drain(input));
        }
        if input.len() < PREFIX_BYTES + total_len {
            return Ok(None);
        }
        let decoded = header.with_body(&input[OVERHEAD_BYTES..PREFIX_BYTES + total_len]);
        input.advance(PREFIX_BYTES + total_len);
        Ok(Some(decoded))
    }

    /// How many bytes the frame at the front of `input` still needs, at least;
    /// what a reader should make room for.
    #[must_use]
    pub fn missing(&self, input: &BytesMut) -> usize {
        if self.draining.is_some() {
            return 1;
        }
        let Some(total_len) = peek_u32(input, 0) else {
            return OVERHEAD_BYTES - input.len();
        };
        // Of what is not kept, only the header.
        let kept = (total_len as usize) <= self.limits.frame_bytes_max;
        let wanted = if kept { total_len } else { HEADER_BYTES };
        let whole = PREFIX_BYTES + wanted as usize;
        whole.saturating_sub(input.len()).max(1)
    }

    /// Refuses what can be refused before the whole header is there.
    fn check_start(&self, input: &BytesMut) -> Result<(), FrameError> {
        let Some(total_len) = peek_u32(input, 0) else {
            return Ok(());
        };
        if total_len < HEADER_BYTES {
            return Err(FrameError::TooShort { total_len });
        }
        let expected = self.kind as u8;
        match input.get(PREFIX_BYTES) {
            Some(&found) if found != expected => Err(FrameError::WrongKind { found, expected }),
            _ => Ok(()),
        }
    }

    fn drain(&mut self, input: &mut BytesMut) -> Option<Decoded> {
        let draining = self.draining.as_mut()?;
        let dropped = draining.left.min(input.len());
        input.advance(dropped);
        draining.left -= dropped;
        if draining.left > 0 {
            return None;
        }
        let Draining { id, total_len, .. } = self.draining.take()?;
        Some(Decoded::TooLarge { id, total_len })
    }
}

impl Header {
    fn with_body(self, body: &[u8]) -> Decoded {
        if self.body_len as usize == body.len() {
            Decoded::Frame {
                code: self.code,
                id: self.id,
                body: Bytes::copy_from_slice(body),
            }
        } else {
            Decoded::Mismatch {
                id: self.id,
                body_len: self.body_len,
                expected: self.total_len - HEADER_BYTES,
            }
        }
    }
}

fn read_header(input: &BytesMut) -> Option<Header> {
    let mut header = input.get(..OVERHEAD_BYTES)?;
    let total_len = header.get_u32_le();
    header.advance(1);
    let code = header.get_u8();
    header.advance(2);
    let mut id = [0; 16];
    header.copy_to_slice(&mut id);
    Some(Header {
        total_len,
        code,
        id: EffectId::from_bytes(id),
        body_len: header.get_u32_le(),
    })
}

fn peek_u32(input: &BytesMut, at: usize) -> Option<u32> {
    Some(input.get(at..at + 4)?.get_u32_le())
}

/// Appends one frame.
///
/// # Panics
///
/// If `body` is longer than a frame can say (almost 4 GiB).
pub fn encode(kind: Kind, code: u8, id: EffectId, body: &[u8], out: &mut BytesMut) {
    let total_len = u32::try_from(body.len() + HEADER_BYTES as usize);
    let total_len = total_len.expect("a frame is shorter than 4 GiB");
    out.reserve(OVERHEAD_BYTES + body.len());
    out.put_u32_le(total_len);
    out.put_u8(kind as u8);
    out.put_u8(code);
    out.put_u16_le(0);
    out.put_slice(id.as_bytes());
    out.put_u32_le(total_len - HEADER_BYTES);
    out.put_slice(body);
}

#[cfg(test)]
mod tests;
