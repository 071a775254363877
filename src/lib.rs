//! Falco: the local transport chain of a local-first daemon, in one binary.
//!
//! ```text
//! daemon ──binary frames──▶ Falco ──NDJSON──▶ daemon-ably ──websocket──▶ Ably (or the built-in emulator)
//!           falco.sock               ably.sock
//! ```
//!
//! A daemon commits a fact to its database, then hands the side effect to
//! Falco, which publishes it and acks. A Rust daemon uses [`client`]; the wire
//! formats are in [`protocol`]; everything else is the program.
//!
//! # One idea
//!
//! **Pure machines decide, drivers do.** The hard parts are plain state
//! machines without I/O, clock or runtime. Each has one async driver that
//! waits, hands it what happened, and carries out what it asks for. They share
//! one set of verbs:
//!
//! ```text
//! handle_*(&mut self, input, now)           something happened
//! handle_timeout(&mut self, now)            the time you asked for has come
//! poll_*(&mut self, now) -> Option<…>       what to do next
//! poll_timeout(&self) -> Option<Instant>    when to wake me
//! ```
//!
//! | machine | decides | driver |
//! |---|---|---|
//! | `ably::connection::Connection` | what to send Ably next: connect, resume, attach, publish, re-authenticate | `transport::realtime` |
//! | `delivery::Lanes` | which effect may go out now, what a failure means, when to answer | `ingest::dispatcher` |
//! | `delivery::Outbox` | which kept effect is brought to the lanes next | `ingest::dispatcher::keeper` |
//! | `supervisor::chain::Chain` | which part to start, probe, restart, stop, give up on | `supervisor::task` |
//! | `emulator::channel::Channel`, one each | serials, history, fan-out, presence | the emulator's sessions |
//!
//! # The straight line
//!
//! ```text
//! daemon ─frame▶ ingest::session ▶ dispatcher ▶ lane ▶ net::ipc ═ably.sock═▶ transport::session ▶ realtime ▶ Connection ═websocket═▶ Ably
//! daemon ◀─ack── ingest::session ◀ dispatcher ◀ lane ◀ net::ipc ◀══════════ transport::session ◀ realtime ◀ pending acks ◀═══ACK═══┘
//! ```
//!
//! Every hop has one owner, one bound, one answer to "what if it is full" and
//! one to "what if we crash here":
//!
//! | hop | owner | bound | when full | crash here |
//! |---|---|---|---|---|
//! | frame → effect | session task | 4 MiB a frame | FAILED `too_large`, its bytes are drained; over 16 MiB the connection ends behind that | daemon resends |
//! | session → dispatcher | session task | effects and bytes unanswered, per connection, less what stands still, or may; what of them waits for another of the same, a share of what there is room for | that socket is not read; too much that stands still: FAILED `lane_full` | daemon resends |
//! | dispatcher → lanes | dispatcher task | effects and bytes, per lane and in all; every route has lanes of its own | lane: FAILED `lane_full`; in all: no socket is read | daemon resends |
//! | file in the inbox → dispatcher, with an outbox | inbox task | one piece of a file: 1024 lines, or one of 4 MiB | the file is not read | read on from where the journal says |
//! | dispatcher → journal → dispatcher, with an outbox | journal's thread | one batch of records; a part of each lane in memory | no socket is read | what was acked is read again, the rest the daemon resends |
//! | lane → ably.sock | dispatcher task | one publish or one batch in flight per lane; in all, a window that grows with answers and shrinks with limits | nothing is offered | sent again, same message id |
//! | ably.sock → realtime | transport session | publishes waiting, and the rate Ably allows | that client is not read | the lane sends it again, same message id |
//! | realtime → Ably | realtime task | publishes not acknowledged | nothing is offered | sent again on resume, same message id |
//! | ack → daemon | session task | bytes of acks not taken | that socket is not read, then closed | daemon resends |
//!
//! # The rooms
//!
//! Imports go down only, and services never name each other; `tests/layers.rs`
//! keeps this true.
//!
//! ```text
//! cli                                                    prints, reads the environment and falco.toml, picks exit codes
//! supervisor                                             one chain: instance, parts, restarts
//! ingest  transport  token_broker  emulator  control  client
//! net  process  journal                                  the only rooms that bind sockets, signal processes, or keep effects on disk
//! ably  delivery                                         pure
//! protocol                                               pure: every wire format
//! backoff  clock  counted  failpoint  logfile  memory  paths  plain_file  report  shutdown  telemetry     leaves
//! ```
//!
//! # Processes
//!
//! ```text
//! falco up ──detaches──▶ supervisor ─┬─ token broker        ably-auth.sock   a task
//!                                    ├─ emulator            127.0.0.1:PORT   a child, unless there were credentials
//!                                    ├─ transport           ably.sock        a child called daemon-ably, unless logged out
//!                                    ├─ Falco               falco.sock       a thread with a runtime of its own
//!                                    └─ sidecars            as configured    children, programs of others
//! ```
//!
//! All but the sidecars are this one executable; what it does is decided by the name it
//! is called by and its first argument. A child answers a round trip of its own
//! protocol before the next one is started, gets what is secret through a pipe,
//! and dies with the supervisor. A program of others may have a guard beside it,
//! which sees to that where the kernel does not. Its descendants end with it, also those in a
//! session of their own; each of them holds the child's lease, by which the next
//! start knows who outlived a killed supervisor. Falco runs inside the supervisor, on a thread
//! of its own, so that neither can starve the other, and keeps its listening
//! socket when it has to be started again; so does the emulator, with a socket that
//! the supervisor shares with each of its lives.
//!
//! Every line a child writes is read at once and kept in a log of bounded size;
//! what happens to the chain is kept beside it, in a journal of life events.
//! One thread writes them all and nobody waits for it: what a disk does not
//! take in time is dropped and counted.
//!
//! A service manager may stand above: `cli::service` renders units for systemd
//! and an agent for launchd from `service/`, and while one is installed, `up` and
//! `stop` go through it. The supervisor tells the manager how the chain is, and
//! takes the sockets it has bound. `cli::doctor` looks at everything that can be
//! wrong around a chain.
//!
//! # Promises
//!
//! - **G1** SUCCESS for an effect means Ably accepted it; with an outbox, that it
//!   is on disk and will be published.
//! - **G2** An effect resent until acked ends in SUCCESS, or in a FAILED that
//!   says why.
//! - **G3** First publications of one lane appear in arrival order.
//! - **G4** Duplicates only where the outcome was unknown at a disconnect or a
//!   crash, and with the same Ably message id, so that Ably and receivers drop
//!   them; a batch goes out again as the batch it was. Only a power cut forgets
//!   which batch that was: then receivers know copies by their idempotency keys.
//! - **G5** Every well-framed request gets exactly one answer on its own
//!   connection, in bounded time, while that connection lives.
//! - **G6** A blocked or poisoned lane delays no other. **G7** Memory stays under
//!   stated caps. **G8** Published bytes are received bytes.
//! - **G9** At most one instance owns a base directory; at most one incarnation
//!   of a child lives, also after its supervisor was killed. **G10** No process or
//!   file that is not ours is ever signalled or removed. **G11** `stop` returns
//!   when everything is gone, `up` when everything answers, or says without which
//!   sidecars it is up.
//!
//! Without an outbox Falco keeps no effect on disk: the daemon owns durability and
//! resends what was not acked. With one, what was acked is published after any
//! crash, or waits as a dead letter that says why.

// Leaves: they import nothing of ours.
mod backoff;
mod clock;
mod counted;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub mod failpoint;
mod logfile;
mod memory;
pub mod paths;
mod plain_file;
mod report;
mod shortage;
mod shutdown;
mod telemetry;

// The pure core.
mod ably;
mod delivery;
pub mod protocol;

// Adapters.
pub mod journal;
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

/// What fuzzers may call; compiled for them only.
#[cfg(fuzzing)]
pub mod fuzz {
    pub use crate::cli::fuzz as cli;
    pub use crate::delivery::fuzz as delivery;
    pub use crate::ingest::fuzz as ingest;
    pub use crate::net::fuzz as net;
    pub use crate::supervisor::fuzz as supervisor;
}

/// Compiles the README's Rust.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
