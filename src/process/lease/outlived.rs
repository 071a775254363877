//! All leases of a directory: who outlived the supervisor that took them.

use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};

use super::{Lease, LeaseError, suspects};
use crate::plain_file;

/// How the names of lease files end.
const SUFFIX: &str = "lease";

/// Those of one part that outlived their supervisor and were ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outlived {
    /// The part.
    pub name: String,
    /// Its processes.
    pub pids: Vec<u32>,
}

/// Ends everybody who holds a lease in `directory` and outlived the supervisor
/// that took it. To be called by the holder of the instance lock.
///
/// # Errors
///
/// When somebody would not end; see [`LeaseError`].
pub fn clear(directory: &Path) -> Result<Vec<Outlived>, LeaseError> {
    let mut all = Vec::new();
    for path in files(directory) {
        let (_, pids) = Lease::take(&path)?;
        if !pids.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = name.into_owned();
            all.push(Outlived { name, pids });
        }
    }
    Ok(all)
}

/// Who holds a lease in `directory`, and is left alone. To be called by the
/// holder of the instance lock: then they outlived their supervisor.
#[must_use]
pub fn outlived(directory: &Path) -> Vec<Outlived> {
    let files = files(directory).into_iter();
    let held = files.filter_map(|path| {
        let file = plain_file::open(&path).ok()?;
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let pids = suspects(&file, &path);
        Some(Outlived { name, pids })
    });
    held.collect()
}

/// The lease files in `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == SUFFIX))
        .collect();
    paths.sort();
    paths
}
