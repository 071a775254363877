//! What fuzzers may call; compiled for them only.

pub use super::inbox::fuzz::{lines, place};
pub use super::memo::fuzz::records;
