//! The daemon-ably role.

pub(crate) mod connectivity;
pub(crate) mod heartbeat;
pub(crate) mod object;
pub(crate) mod token;
