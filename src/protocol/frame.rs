//! The binary frames of `falco.sock`.
