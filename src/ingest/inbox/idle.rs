//! An inbox from which nothing is taken: what arrives is not kept now.
//!
//! Says how many files lie there, to whoever asks; reads none, and changes
//! nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::folder::Folder;
use super::progress::{Inode, Progress};
use super::{INBOX, blocking};
use crate::journal::Note;
use crate::protocol::outbox::InboxStatus;
use crate::shutdown::Shutdown;

/// How long the disk may take to list it.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is wrong with it.
const TROUBLE: &str = "nothing is taken from it: delivery.mode = \"outbox\" does that";

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Idle {
    folder: Folder,
    /// How far each file was taken while something was.
    taken: Arc<OnceLock<HashMap<Inode, u64>>>,
}

impl Idle {
    /// The inbox of the outbox in `directory`; `notes` come when that is read.
    pub(in crate::ingest) fn new(
        directory: &Path,
        notes: oneshot::Receiver<Vec<Note>>,
        shutdown: &Shutdown,
    ) -> Self {
        let idle = Self {
            folder: Folder::at(directory.join(INBOX)),
            taken: Arc::default(),
        };
        let taken = Arc::clone(&idle.taken);
        shutdown.spawn(async move {
            let notes = notes.await.unwrap_or_default();
            let known = notes.iter().filter_map(Progress::read);
            _ = taken.set(known.map(|known| (known.file.inode, known.at)).collect());
        });
        idle
    }

    /// What lies there; nothing, until it is known what was taken of it.
    pub(in crate::ingest) async fn status(&self) -> Option<InboxStatus> {
        let this = self.clone();
        let count = timeout(PATIENCE, blocking(move || this.count())).await;
        let waiting = count.ok().flatten()?;
        Some(InboxStatus {
            waiting,
            trouble: (0 < waiting).then(|| TROUBLE.to_owned()),
            ..InboxStatus::default()
        })
    }

    fn count(&self) -> Option<u64> {
        let taken = self.taken.get()?;
        let listing = self.folder.list(&HashSet::new()).ok()?;
        let is_new = |inode, bytes| taken.get(inode).is_none_or(|&at| at < bytes);
        let found = listing.found.iter();
        let new = found.filter(|file| is_new(&file.inode, file.shape.bytes));
        Some(new.count() as u64)
    }
}
