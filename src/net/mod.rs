//! Sockets and streams.

pub(crate) mod dial;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod tls;
pub mod unix;
