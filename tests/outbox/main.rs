//! Effects that are kept on disk, through the real binary: a chain of its own
//! with an outbox, and on its routes transports that the test plays itself.

mod chain;
mod changed;
mod daemon;
#[path = "../soak/disk.rs"]
mod disk;
mod transport;

mod asking;
mod crash;
mod delivery;
mod full;
mod inbox;
mod known;
mod leaving;
mod limits;
mod metrics;
mod missed;
mod moved;
mod odd_files;
mod odd_journal;
mod operator;
mod parking;
#[path = "../busy/quick.rs"]
mod quick;
mod recovery;
mod remembered;
mod routes;
mod stopped;
#[path = "../busy/suspended.rs"]
mod suspended;
mod unanswered;
mod unusable;
