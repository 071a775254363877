//! The supervisor.

pub mod chain;
pub mod instance;
pub mod restart;
