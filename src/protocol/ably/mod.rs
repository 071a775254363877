//! Ably's realtime and REST formats (protocol version 6; versions 2 to 6 are
//! understood).
//!
//! Shared by the transport, which is a client, and the emulator, which is a
//! server. Both could agree on a mistake, so the stock SDKs judge this module:
//! see `tests/vectors` and `tests/interop`.

pub mod action;
pub mod auth;
pub mod codec;
pub mod data;
pub mod error;
mod lenient;
pub mod message;
mod msgpack;
pub mod object;
pub mod publish;
