//! The supervisor: one chain of sidecars.
