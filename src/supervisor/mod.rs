//! The supervisor: brings the chain up, keeps it up, takes it down.
//!
//! Owns the parts of one instance: child processes and servers inside this
//! process. [`chain`] decides, [`task`] drives it, one task per life of a part
//! does what has to be waited for. It knows no program by name; the command
//! line composes the chain.
//!
//! Promises: at most one instance owns a base directory ([`instance`]); at most
//! one life of a part exists at any time; a start ends with every part
//! answering or with nothing left; a stop ends when the last process is gone.
//!
//! Never signals or removes what it did not make.
//!
//! ```text
//!  control socket ─requests─▶ ┌────────────┐ ─actions─▶ lives: incarnation (child), inside (server)
//!  signals ─────────────────▶ │ task+Chain │ ◀─reports─ started, ready, ended
//!  timers ──────────────────▶ └────────────┘ ─events──▶ watchers: up, stop, restart
//!                                   └─────── after every turn: notices to the service manager
//! ```

mod advised;
pub mod chain;
#[cfg(fuzzing)]
pub mod fuzz;
mod incarnation;
mod inside;
pub mod instance;
mod notices;
pub mod part;
pub mod probe;
pub mod restart;
mod said;
pub mod sidecar;
mod sleep;
mod tap;
pub mod task;
mod view;
mod watchers;

pub use watchers::Until;
