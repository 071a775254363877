//! The whole chain through the real binary: brought up, broken, taken down.
//!
//! Every test has a base directory of its own, waits for conditions and not
//! for time, and checks that no process of it stays behind.

#![cfg(target_os = "linux")]
// A failure of what a test stands on is a failure of the test.
#![allow(clippy::unwrap_used)]

mod base;
mod breaking;
mod exhausting;
mod foreground;
mod happening;
mod killing;
mod launching;
mod locating;
mod logging;
mod losing;
mod obstructed;
mod outliving;
mod posing;
#[path = "../busy/quick.rs"]
mod quick;
mod refusing;
#[path = "../sidecars/mod.rs"]
mod sidecars;
mod starting;
mod stopping;
#[path = "../busy/suspended.rs"]
mod suspended;
mod telling;
mod typing;
mod waiting;
mod watching;
