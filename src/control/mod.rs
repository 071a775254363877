//! The control socket: the command line asks, the supervisor answers.
//!
//! Owns the exchange and none of the answers: the server hands each request to
//! the supervisor and writes back what it is told, the client reads with a
//! deadline. Neither waits for ever.

pub mod client;
pub mod server;
