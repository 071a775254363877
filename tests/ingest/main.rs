//! Falco alone, through the real binary: `falco --device-id …` between a daemon
//! and a transport that this test plays itself.

mod daemon;
mod falco;
mod transport;

mod dead;
mod delivery;
mod emit;
mod framing;
mod life;
mod resending;
mod routing;
