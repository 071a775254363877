//! The daemon-ably role.

pub(crate) mod token;
