//! The emulator through the real binary, spoken to in raw frames: the rules
//! that SDKs hold a server to.

// Helpers are tests too: a panic is how they fail.
#![allow(clippy::unwrap_used)]

mod channels;
mod client;
mod connection;
mod limits;
mod server;
