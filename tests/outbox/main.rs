//! Effects that are kept on disk, through the real binary: a chain of its own
//! with an outbox, and on its routes transports that the test plays itself.

mod chain;
mod daemon;
mod transport;

mod crash;
mod delivery;
mod inbox;
mod metrics;
mod operator;
mod routes;
