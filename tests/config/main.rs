//! The configuration and the login through the real binary.

#![cfg(target_os = "linux")]
// A failure of what a test stands on is a failure of the test.
#![allow(clippy::unwrap_used)]

mod base;
mod beside;
mod file;
mod login;
mod server;
#[path = "../busy/suspended.rs"]
mod suspended;
