//! The exchange on `ably-auth.sock`.
