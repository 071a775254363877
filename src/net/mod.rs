//! Sockets and streams.

pub(crate) mod lines;
pub mod unix;
