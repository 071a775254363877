//! Child processes: spawned, watched, signalled, reaped. Nobody else signals.
//!
//! A child is spawned by one thread that lives as long as the program
//! ([`spawn::Spawner`]): on Linux a child asks to be killed when the *thread*
//! that made it ends. It leads a session and group of its own and inherits
//! standard streams, its declared environment and its declared descriptors,
//! nothing else.
//!
//! That it ended is learnt from the kernel without reaping it. While it is a
//! zombie its group id cannot be anybody else's, so that is when the rest of
//! the group is killed; only then it is reaped. Descendants that left the group
//! end with it ([`family`]).
//!
//! A program of others may be started through a guard, which ends it with the
//! supervisor ([`guard`]).
//!
//! A child that outlives a killed supervisor all the same is known by the lock
//! it inherited ([`lease`]). No signal is ever sent to a number that was read
//! from a file.
//!
//! ```text
//! spawn ─▶ running ──kernel: exited──▶ zombie ──kill the rest of the group──▶ reap ─▶ Exit
//!             │ ▲
//!             └─┘ terminate, kill (the whole group)
//! ```

pub mod capture;
pub mod child;
pub mod family;
pub mod features;
pub mod group;
pub mod guard;
mod held;
pub mod identity;
pub mod inherited;
pub mod lease;
pub mod manager;
pub mod spawn;
pub mod startup;
mod sys;
mod table;
pub mod tool;
pub mod usage;

pub(crate) use sys::{end_self, local_offset, seal_descriptors, settle};
