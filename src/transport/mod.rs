//! The daemon-ably role.

pub(crate) mod heartbeat;
pub(crate) mod object;
pub(crate) mod token;
