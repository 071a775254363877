//! The Ably client as a pure state machine.
//!
//! Owns what to say to Ably next, and what each of its answers means: one
//! [`connection::Connection`] holds the connection's states and timers, the
//! token's life, the channels with their serials, and every publish from the
//! request to its acknowledgement.
//!
//! ```text
//!            publish, attach, handle_*            poll_action, poll_publish
//! driver ───────────────────────────▶ Connection ───────────────────────────▶ driver
//!                                       │    poll_event, poll_settled, poll_timeout
//!                     ┌─────────┬───────┴─┬──────────┐
//!                   hosts     auth     channels    outbox
//! ```
//!
//! Promises: publishes leave in request order; each is written at most once
//! per transport and keeps its message ids when written again; each is settled
//! exactly once. A channel's position moves only with messages handed out.
//!
//! Never waits, sends, or reads a clock; the transport's realtime task does.
//! Brackets name points of the Ably specification.

mod auth;
mod chance;
pub(crate) mod channel;
pub(crate) mod connection;
mod deadlines;
pub(crate) mod event;
pub(crate) mod hosts;
mod late;
pub(crate) mod outbox;
mod rate;
mod retry;
pub(crate) mod url;
