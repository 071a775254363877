//! Falco: the local transport chain of a local-first daemon, in one binary.
//!
//! ```text
//! daemon ──binary frames──▶ Falco ──NDJSON──▶ daemon-ably ──websocket──▶ Ably (or the built-in emulator)
//!           falco.sock               ably.sock
//! ```
//!
//! A daemon commits a fact to its database, then hands the side effect to
//! Falco, which publishes it and acks.

#![allow(dead_code)]

// Leaves: they import nothing of ours.
mod backoff;
mod clock;
mod logfile;
pub mod paths;
mod report;
mod shutdown;
mod telemetry;

// The pure core.
mod ably;
mod delivery;
pub mod protocol;

// Adapters.
mod net;
mod process;

// Services; they never name each other.
mod control;
mod emulator;
mod ingest;
mod token_broker;
mod transport;

mod supervisor;

pub mod client;

pub mod cli;
