//! Falco as a service, and the help it gives, through the real binary.
//!
//! Every test has a home and a base directory of its own. The managers of
//! services are programs of the test: nothing here talks to the system's.

#![cfg(target_os = "linux")]
// A failure of what a test stands on is a failure of the test.
#![allow(clippy::unwrap_used)]

mod activation;
mod anew;
mod base;
mod doctor;
mod env;
mod launchd;
mod manuals;
mod notify;
#[path = "../busy/quick.rs"]
mod quick;
#[path = "../busy/suspended.rs"]
mod suspended;
mod systemd;
mod version;
