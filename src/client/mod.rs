//! What a Rust daemon uses to talk to Falco.
