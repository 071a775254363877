//! Sockets and streams.

pub(crate) mod ask;
pub(crate) mod dial;
pub(crate) mod directory;
#[cfg(fuzzing)]
pub mod fuzz;
pub(crate) mod http;
pub(crate) mod ipc;
pub(crate) mod lines;
pub mod notify;
pub(crate) mod tls;
pub mod unix;
pub(crate) mod websocket;
