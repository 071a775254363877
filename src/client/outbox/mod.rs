//! Publish after commit: an outbox table in the daemon's own SQLite database.
//!
//! ```text
//! daemon's transaction: facts + enqueue ──commit──▶ falco_outbox ──Courier──▶ Falco
//!                                                        ▲                      │
//!                                                        └── published: deleted ┘
//! ```
//!
//! [`enqueue`] writes an effect beside the facts it tells of, in one
//! transaction: either both are there or neither. A [`Courier`] hands the
//! effects to Falco in the order they were committed, and deletes each once it
//! is published. After a crash of the daemon it hands over again what was not
//! deleted, under the same ids, so that Falco and Ably drop what was published
//! already.
//!
//! Promises that every effect whose transaction was committed is published, or
//! stays in the table with the reason why it never can be ([`rejected`]); that
//! effects of one session are published in the order of their commits; and that
//! a session whose effects Falco fails for now does not hold up the others.
//!
//! Takes 256 rows or 4 MiB at a time into memory and never more than 2048 or
//! 48 MiB, of one session 64 or 1 MiB; a single row that is larger goes alone.
//! Waits for [`Courier::wake`]; without it, it looks every 5 s.
//!
//! The table belongs to this module, and its columns may be read by anybody.
//! Use the re-exported [`rusqlite`], so that there is one SQLite in the program.
//!
//! A daemon that uses it, whole:
//!
//! ```no_run
#![doc = include_str!("../../../tests/client/chat.rs")]
//! ```

mod courier;
mod table;

pub use rusqlite;

pub use courier::Courier;
pub use table::{OutboxError, Rejected, create, drop_rejected, enqueue, pending, rejected};

#[cfg(test)]
mod tests;
