//! Falco itself: takes side effects from daemons, hands them to the transport,
//! answers with acks.
//!
//! ```text
//!            ┌─ session ─┐  effects  ┌────────────┐  requests
//! daemon ◀──▶│  (a task   │──────────▶│ dispatcher │──────────▶ ably.sock
//!            │  each)     │◀──────────│ (one task) │◀──────────
//!            └────────────┘   acks    └────────────┘  answers
//! ```
//!
//! A session owns a connection: it cuts frames, routes effects, counts what it
//! still owes an answer, and writes acks. The dispatcher owns the lanes and the
//! connection to the transport. Effects travel in the batches they were read
//! in, acks in the batches they were decided in.
//!
//! Promises that every frame whose id can be read is answered exactly once on
//! its own connection, in bounded time, for as long as that connection lives. The
//! time of an effect begins when it is cut from what was read, wherever it waits
//! then. A connection that is not read is looked at every second, whether it lives.
//!
//! | bound | when it is reached |
//! |---|---|
//! | 4 MiB a frame | FAILED `too_large`, its bytes are dropped; over 16 MiB: the same at once, and the connection ends |
//! | 4096 effects or 8 MiB unanswered on a connection, without what stands still, or may, of a lane that is slow: 8192 effects or 32 MiB of each, with what stands still a quarter of what its route may hold | that socket is not read |
//! | 32 768 effects or 128 MiB unanswered on it in all | the same |
//! | 16 384 effects or 64 MiB of it that stand still, or half of what their route may hold | those of lanes in trouble: FAILED `lane_full` |
//! | 24 576 effects or 96 MiB of it that stand still | also those of a lane of which only others tell that it does; what it holds of that is refused once they do; of each of several routes 4096 effects or 16 MiB stay |
//! | 1 MiB of acks not taken by the daemon | that socket is not read; after 30 s without progress it is closed |
//! | 64 MiB of frames over 128 KiB that are not finished | such a frame waits; one that stands still for 30 s ends its connection |
//! | 4096 effects or 16 MiB in a lane that stands still, 16 384 or 64 MiB in another | FAILED `lane_full`; once it is empty, up to 2 s more for a daemon that does not resend the first |
//! | 65 536 submissions that wait for the outcome of another of the same | a connection that has as many of them as there is room left is not read; those of one that is closed are taken off; at 262 144, since what was sent before is taken: no socket is read |
//! | 65 536 effects or 256 MiB in all | no socket is read; with several routes each has its share, and one that is full answers FAILED `lane_full` |
//!
//! All sessions of a daemon share its connection. A lane that is not answered for
//! a second while others are, or for a whole attempt, or is refused twice in a
//! row, stands still, and so does every lane of a route whose transport is away or
//! silent where there are others: for those nobody waits. A lane that is well
//! makes its connection wait, and is not refused while its route is there.
//!
//! What cannot be told yet from a slow lane is held: what comes for a lane that was
//! not answered for a quarter of a second is taken beside what its connection may
//! have unanswered, so that others are read, and answered, by whom one can tell. A
//! transport that pauses looks the same, and must cost no refusal: so a lane that
//! is not known to stand still has room for all of it, and gives back what is
//! too much once it is. Once that is used up, the
//! connection waits for a second while others are answered, and for a whole attempt
//! if nothing is.
//!
//! What stands still of a connection is kept below what that may be owed in all, or
//! nothing else of it were read: a lane that others have shown to stand still gives
//! back what is too much, the latest of it, and takes no more. What is on its way
//! to the transport cannot be given back: a thousand lanes that stand still with
//! as much as goes out at once still hold their connection up until their first
//! attempts end. While nobody is answered that shows nothing, and nothing is given
//! back.
//!
//! An effect may name a route: one of several transports. Each has lanes and a
//! connection of its own, so the outage of one delays no other.
//!
//! With an outbox, effects are kept on disk until they are published, and
//! answered once they are there; without one no effect is kept. With one,
//! programs may also leave effects as files in its inbox. Which batches
//! were sent is noted in both cases, and what was published without an outbox
//! ([`memo`]), so that a Falco that died sends them again as they were, knows
//! what comes again, and subscribers see no effect twice.
//!
//! All of this happens on one thread, the notes as well: while the disk hangs that has
//! them, nothing here goes on, and no time is kept.
//!
//! Never publishes anything by itself and never reads the environment.
//!
//! Stops by refusing what waits, giving what is on its way a grace to be
//! answered, and failing the rest with `shutting_down`; then the sessions write
//! their last acks and end.

mod alarm;
mod config;
mod dispatcher;
#[cfg(fuzzing)]
pub mod fuzz;
mod handle;
mod inbox;
mod memo;
pub(crate) mod offline;
mod server;
mod session;

use tokio::sync::mpsc;

use crate::net::unix::Listener;
use crate::shutdown::Shutdown;

pub(crate) use config::{Config, MemoPlace, Outbox, Route};
use dispatcher::Dispatcher;
#[cfg(test)]
pub(crate) use dispatcher::played;
pub(crate) use handle::{Fault, Handle, Unanswered, Verdict};
use handle::{InboxView, Query};
use inbox::{Idle, Inbox};
use session::{LargeFrames, Shared};

/// Batches of effects on their way from the sessions to the dispatcher; each
/// may hold a frame of the longest kind.
const SUBMISSIONS_MAX: usize = 16;

/// Memory for large frames that have begun and not ended, over all connections.
const LARGE_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Questions about the state that may wait at once.
const QUERIES_MAX: usize = 8;

/// Starts Falco on `listener`, in the current runtime, until `shutdown`.
pub(crate) fn start(config: &Config, listener: Listener, shutdown: &Shutdown) -> Handle {
    let (submit, submissions) = mpsc::channel(SUBMISSIONS_MAX);
    let (queries, asked) = mpsc::channel(QUERIES_MAX);
    let shared = Shared {
        routing: config.routing.clone(),
        submit: submit.clone(),
        large_frames: LargeFrames::new(LARGE_FRAME_BYTES_MAX),
        shutdown: shutdown.clone(),
    };
    let mut dispatcher = Dispatcher::new(config, submissions, asked, shutdown);
    let inbox = config.outbox.as_ref().zip(dispatcher.notes());
    let inbox = inbox.map(|(outbox, notes)| {
        if !outbox.records {
            return InboxView::Idle(Idle::new(&outbox.directory, notes, shutdown));
        }
        let (directory, home) = (&outbox.directory, outbox.home.clone());
        let inbox = Inbox::new(directory, home, config.routing.clone(), submit, notes);
        let tally = inbox.tally();
        shutdown.spawn(inbox.run(shutdown.clone()));
        InboxView::Taken(tally)
    });
    let linked = dispatcher.linked();
    let has_read = dispatcher.has_read();
    let verdict = dispatcher.verdict();
    let writing = dispatcher.writing();
    shutdown.spawn(dispatcher.run(shutdown.clone()));
    shutdown.spawn(server::run(listener, shared));
    Handle {
        queries,
        linked,
        has_read,
        verdict,
        inbox,
        writing,
    }
}
