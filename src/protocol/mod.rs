//! Every wire format, and nothing else.
//!
//! Owns how bytes become values and back: the binary frames of `falco.sock`,
//! the side-effect JSON and its routing, the NDJSON of `ably.sock`, the token
//! broker's exchange, the control protocol, the records of the logs, the text of the
//! metrics, and Ably's protocol messages in JSON and msgpack.
//!
//! Pure: no I/O, no clock, no runtime. Whatever a peer sends, decoding it
//! returns a value or an error, never panics, and allocates no more than a
//! small multiple of the input.

pub mod ably;
mod base64;
pub mod control;
pub mod envelope;
pub mod frame;
pub mod id;
pub mod ipc;
pub mod lane;
pub mod life;
pub mod log;
pub mod metrics;
pub mod outbox;
pub mod token;
