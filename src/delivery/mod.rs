//! Delivery: which effect may go out, when, and what its fate is.
//!
//! [`Admission`] answers what needs no publishing and lets the rest through
//! once. Owns the order of effects. [`Lanes`] keeps one queue for each [`LaneKey`];
//! effects of a lane leave in the order they came, one request at a time,
//! and lanes do not wait for each other. Effects that wait in one lane for one
//! channel leave together, as one batch.
//!
//! Promises: every effect submitted is settled exactly once, before its
//! deadline; at most one request of a lane is in flight; a retry goes out
//! before anything behind it; a batch is sent again exactly as it was; when an
//! effect fails for another reason than itself, all that waits behind it in its
//! lane fails too, so that a daemon which sends them again keeps their order.
//!
//! What is refused for good fails alone, or, where order goes before everything,
//! parks its lane: what is behind it waits until it comes again, or somebody lets
//! the lane go on without it.
//!
//! Effects that the outbox keeps are delivered by other rules, because no daemon
//! waits for them: they have no deadline, only what Ably refuses counts as an
//! attempt, and one that fails for good costs nothing behind it.
//!
//! [`Owed`] says what of it stands still, so that no connection waits for that.
//!
//! Fair and careful: connections take turns, and their lanes; the transport
//! gets no more at once than it has shown to take; what may have cost us a
//! connection is tried again a little at a time, and delays nobody else; hundreds
//! of lanes that are not answered delay the others no more than a few of them do.
//!
//! What once may have been published is never called `rejected` or `throttled`.
//! Where the transport says so after the daemon was told FAILED, it is known when it
//! comes again, and published no second time. So is what was sent together and, after
//! that was refused, one by one, if the first is accepted in the end.
//!
//! Does not promise that a copy comes before what is behind it. What was on its
//! way when a connection was lost goes out again on the next one at once, though
//! the transport may still publish what it had read on the first. Ably drops the
//! copy, for it has the same message id; from an old transport, which passes on
//! no ids, it may appear, and later than the next effects of its lane. The order
//! of the first appearances holds in any case.
//!
//! Never waits, sends, or reads a clock; the dispatcher of `ingest` does that.
//! It holds no more than the effects it was given; it refuses what a full lane
//! cannot take, and says when it has room for no more.
//!
//! ```text
//!                        ┌──── rejected: only this effect fails, or its lane parks ───┐
//!                        │                                                            ▼
//! submitted ──▶ Ready ──poll_request──▶ InFlight ──accepted──────────────────────▶ settled
//!                 ▲                      │  │  ▲                                      ▲
//!                 │◀─ connection lost ───┘  │  └── late acceptance also settles ──────┤
//!                 │                         ▼                                         │
//!                 └──── 500 ms ──────── BackingOff ── 3 attempts, or the deadline ────┘
//!                                                     (and all behind it)
//! ```
//!
//! [`LaneKey`]: crate::protocol::id::LaneKey

mod admission;
mod config;
mod dedupe;
mod effect;
mod failure;
mod fences;
#[cfg(fuzzing)]
pub mod fuzz;
mod gaps;
mod health;
mod lane;
mod lanes;
mod outbox;
mod owed;
mod pace;
mod parks;
mod path;
mod recall;
mod request;
mod turns;

pub(crate) use admission::{Admission, Admitted, Answer};
pub(crate) use config::{Config, OnRejected};
pub(crate) use dedupe::{Done, Ticket, fingerprint, known_by};
pub(crate) use effect::{Effect, Outcome, Place, Producer, Settled, Submitted};
pub(crate) use failure::{Class, Failure, Refusal, shortened};
pub(crate) use lane::Stuck;
pub(crate) use lanes::{Lanes, Peer};
pub(crate) use outbox::{Home, Kept, Known, Load, Outbox, ParkedLane, Unable, Weight, Wish};
pub(crate) use owed::{Amount, Debt, Owed};
pub(crate) use recall::{Passed, Recall, digest, listed};
pub(crate) use request::{Request, RequestId};

#[cfg(test)]
mod tests;
