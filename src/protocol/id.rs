//! Identifiers that travel on the wire.
