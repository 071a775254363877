//! Who has any lock by inheritance from a process that is gone.

use std::fs::OpenOptions;
use std::path::Path;

use super::Mark;
use crate::plain_file;
use crate::process::identity::{Fate, Identity};

/// Ends everybody who holds the lock at `path` by inheritance from `taker`, who
/// took it and is gone; says who that was.
///
/// Only those are found of whom the kernel tells which locks they have.
#[must_use]
pub fn end_heirs(path: &Path, taker: &Identity) -> Vec<u32> {
    let file = plain_file::open_own(path, OpenOptions::new().read(true));
    let mark = file.and_then(|file| Mark::of(&file, taker.pid));
    let Some(mark) = mark.ok().filter(|_| taker.fate() == Fate::Gone) else {
        return Vec::new();
    };
    let heirs = mark.holders().into_iter();
    let ended = heirs.filter(|heir| heir.kill().is_ok());
    ended.map(|heir| heir.pid()).collect()
}
