//! Sidecars beside the built-in parts.

mod commanding;
