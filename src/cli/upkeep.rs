//! What a supervisor does beside its chain, for as long as it runs: reaps the
//! orphans it adopts, and ends when its directory is gone, since then nobody
//! can reach it any more and another one could be started in its place.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{self, family};
use crate::shutdown::Shutdown;

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Begins it; it ends with `shutdown`.
pub(super) fn begin(base: &Path, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    let directory = Directory::of(base);
    shutdown.spawn(async move {
        tokio::select! {
            () = stop.begun() => {}
            () = reap() => {}
            () = watch(directory) => {}
        }
    });
}

async fn reap() {
    if let Err(error) = family::reap_strangers().await {
        tracing::warn!(%error, "Cannot reap orphans.");
        std::future::pending::<()>().await;
    }
}

/// A directory, and which one it was.
struct Directory {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

impl Directory {
    fn of(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            id: id(path).ok(),
        }
    }

    /// Whether it is known that it is gone, or another one is in its place.
    fn is_gone(&self) -> bool {
        match id(&self.path) {
            Ok(now) => self.id.is_some_and(|before| before != now),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let meta = std::fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

async fn watch(directory: Directory) {
    loop {
        tokio::time::sleep(LOOK).await;
        if directory.is_gone() {
            let base = directory.path.display();
            tracing::error!(%base, "The base directory was removed or replaced; ending.");
            process::end_self();
            std::future::pending::<()>().await;
        }
    }
}
