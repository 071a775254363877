//! A local Ably-compatible server.
