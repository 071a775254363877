//! The control socket: the command line asks, the supervisor answers.
//!
//! Owns the exchange and none of the answers: the server hands each request to
//! the supervisor and writes back what it is told, the client reads with a
//! deadline. Neither waits for ever. Metrics ask the same way, from a port of this
//! machine.

pub mod client;
pub mod metrics;
pub mod server;
