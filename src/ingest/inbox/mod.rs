//! Effects that other programs leave as files.
//!
//! Whoever cannot speak to the socket renames a complete file into
//! `outbox/inbox/*.jsonl`, or appends lines to `outbox/inbox/external.jsonl`.
//! Every line is one side effect, as in a frame. It may name its `effect_id`;
//! else its id is made of the file, the place and the bytes, and is the same
//! whenever it is read.
//!
//! ```text
//! file ──piece──▶ cut ──effects, progress──▶ dispatcher ──one append──▶ journal
//!                  │                             │
//!                  └──▶ rejected/ ◀── refused ───┘          all taken ──▶ done/
//! ```
//!
//! Promises: a line is taken once, however often this is killed, because how far
//! a file was taken is recorded in the append that holds its effects. A line is
//! taken only whole, up to its LF; the last of a dropped file also without one,
//! once it is a whole JSON object and nobody has changed the file for a second. A
//! bad line costs itself only, and a file that fails holds only itself. A file that
//! became shorter or another is read from its top, and so is one with other bytes
//! before the place; what is known is not taken again. Files are taken one after
//! the other, by name, and `external.jsonl` behind them: so what is renamed away
//! from that name keeps its place before what is appended from then on. Nothing
//! overtakes the last line of a dropped file, while that may still turn out to
//! need no LF; of one that changes all the while, for three seconds. Nor does a
//! file wait longer than that for however many that come one after the other. But
//! order goes before fairness: behind a dropped file in which whole lines come as
//! fast as they are read, the others wait.
//!
//! A file is known by its inode, the time it was made and its first bytes, not
//! by its name or device: so it is the same after a rename and a reboot. A copy
//! of it, as a restored backup makes, is another file.
//!
//! Holds one piece at a time; the next is read when the journal has the last.
//! Costs nothing while nothing changes; while a line waits for its end, a look
//! every second. What waits, and why, is told ([`Tally`]).
//!
//! Never writes to a file that others write, and never removes one. While the
//! outbox is not at its path, nothing there is looked at.
//!
//! Stops with the shutdown, wherever it is: what was not recorded is read again.

mod behind;
mod calm;
mod cut;
mod file;
mod folder;
#[cfg(fuzzing)]
pub mod fuzz;
mod idle;
mod offer;
mod piece;
mod progress;
mod reader;
mod tally;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::dispatcher::{Submission, WayBack};
use super::session::SessionId;
use crate::journal::{Home, INBOX, Note};
use crate::protocol::envelope::Routing;
use crate::report::Report;
use crate::shutdown::Shutdown;

use folder::{Folder, FolderError};
use offer::Offers;
use reader::Reader;

pub(super) use idle::Idle;
pub(super) use tally::Tally;

/// How soon a directory that cannot be used is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    path: PathBuf,
    home: Home,
    routing: Routing,
    submit: mpsc::Sender<Submission>,
    notes: oneshot::Receiver<Vec<Note>>,
    tally: Tally,
}

/// Why nothing more is read.
#[derive(Debug)]
enum Stop {
    /// The dispatcher has ended.
    Ended,
    Failed(FolderError),
    /// The directory cannot be watched.
    Unwatched(std::io::Error),
}

impl Inbox {
    /// The inbox of the outbox in `directory`, as long as that is `home`; `notes`
    /// come when that is read.
    pub(super) fn new(
        directory: &Path,
        home: Home,
        routing: Routing,
        submit: mpsc::Sender<Submission>,
        notes: oneshot::Receiver<Vec<Note>>,
    ) -> Self {
        Self {
            path: directory.join(INBOX),
            home,
            routing,
            submit,
            notes,
            tally: Tally::default(),
        }
    }

    /// What there is to say of it; clones say the same.
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    pub(super) async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.begun() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(self) {
        let Ok(notes) = self.notes.await else { return };
        let (acks, acked) = mpsc::channel(cut::EFFECTS_MAX);
        let open = Submission::Open(SessionId::INBOX, WayBack::patient(acks));
        if self.submit.send(open).await.is_err() {
            return;
        }
        let (path, home) = (self.path, self.home);
        let open = move || Folder::open(path.clone(), home.clone());
        let folder = open_until(open, &self.tally).await;
        let offers = Offers::new(self.submit, acked);
        let mut reader = Reader::new(folder, self.routing, offers, self.tally);
        reader.remember(&notes);
        loop {
            match reader.attend().await {
                Stop::Ended => return,
                Stop::Failed(error) => {
                    warn!(error = %Report(&error), "The inbox cannot be read.");
                    reader.tally.set_trouble(Some(Report(&error).to_string()));
                }
                Stop::Unwatched(error) => debug!(%error, "The inbox is not watched any more."),
            }
            sleep(LOOK_AGAIN).await;
            let folder = reader.folder.clone();
            reader.folder = open_until(move || folder.again(), &reader.tally).await;
        }
    }
}

/// Opens the directory once that is possible.
async fn open_until<O>(open: O, tally: &Tally) -> Folder
where
    O: Fn() -> Result<Folder, FolderError> + Clone + Send + 'static,
{
    let mut told = String::new();
    loop {
        let error = match blocking(open.clone()).await {
            Ok(folder) => return folder,
            Err(error) => Report(&error).to_string(),
        };
        if error != told {
            warn!(%error, "The inbox cannot be used.");
            tally.set_trouble(Some(error.clone()));
            told = error;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Does what may block where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is ending, and so are we.
        Err(_) => std::future::pending().await,
    }
}
