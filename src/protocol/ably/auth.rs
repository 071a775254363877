//! Keys, capabilities, JWTs and token requests: pure checks and signatures.
