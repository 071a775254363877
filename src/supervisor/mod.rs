//! The supervisor.

pub mod chain;
pub mod restart;
