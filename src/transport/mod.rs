//! The daemon-ably role.
