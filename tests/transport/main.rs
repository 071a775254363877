//! The transport alone, through the real binary: `daemon-ably` between clients
//! of `ably.sock`, a token broker that this test plays itself, and the
//! emulator in Ably's place.

mod broker;
mod client;
mod rig;
mod slow;

mod faults;
mod life;
mod publishing;
mod subscribing;
