//! Protocol messages to bytes and back, in JSON and msgpack.
