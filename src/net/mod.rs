//! Sockets and streams.

pub mod unix;
