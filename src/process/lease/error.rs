//! Why a lease could not be taken.

use std::io;
use std::path::PathBuf;

/// Why a lease could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The file cannot be opened or written.
    #[error("failed to open lease {}", path.display())]
    Open {
        /// The lease file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system cannot lock.
    #[error("failed to lock {}: its file system may not support locks", path.display())]
    Lock {
        /// The lease file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody holds it who could not, or must not, be ended.
    #[error("{} is still held{}", path.display(), named(pids))]
    Held {
        /// The lease file.
        path: PathBuf,
        /// Who may be the holder, as far as it is known.
        pids: Vec<u32>,
    },
}

fn named(pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    match pids.as_slice() {
        [] => " by a process that cannot be found".to_owned(),
        pids => format!(" by pid {}", pids.join(", ")),
    }
}
