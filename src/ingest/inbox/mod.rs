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
//! taken only whole, up to its LF. A bad line costs itself only. A file that
//! became shorter or another is read from its top; what is known is not taken
//! again. Files are taken one after the other, by name.
//!
//! Holds one piece at a time; the next is read when the journal has the last.
//! Costs nothing while nothing changes; while a line waits for its end, a look
//! every second.
//!
//! Never writes to a file that others write, and never removes one.
//!
//! Stops with the shutdown, wherever it is: what was not recorded is read again.

mod cut;
mod folder;
mod progress;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::dispatcher::{Ack, Piece, Submission};
use super::session::SessionId;
use crate::delivery::Outcome;
use crate::journal::{INBOX, Note};
use crate::net::directory::Directory;
use crate::protocol::envelope::Routing;
use crate::protocol::id::EffectId;
use crate::report::Report;
use crate::shutdown::Shutdown;

use cut::{Cut, Reject};
use folder::{Folder, FolderError, Found, Step};
use progress::{Inode, Progress};

/// How soon a file is looked at that is not finished, and how long what the disk
/// does not take waits.
const SOON: Duration = Duration::from_secs(1);

/// How soon what was taken by others too is offered again.
const AT_ONCE: Duration = Duration::from_millis(20);

/// How soon a directory that cannot be used is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Pieces of one file, before the others have a turn.
const PIECES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    path: PathBuf,
    routing: Routing,
    submit: mpsc::Sender<Submission>,
    notes: oneshot::Receiver<Vec<Note>>,
}

/// When to look again, if nobody says that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Never,
    Soon,
    Now,
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

/// What is known of a file.
#[derive(Debug)]
struct Known {
    progress: Progress,
    /// It was not there when last looked for.
    is_absent: bool,
}

struct Reader {
    folder: Folder,
    routing: Routing,
    submit: mpsc::Sender<Submission>,
    acks: mpsc::Receiver<Vec<Ack>>,
    known: HashMap<Inode, Known>,
    /// Files that are not read, and that somebody was told of.
    refused: HashSet<Inode>,
}

impl Inbox {
    /// The inbox of the outbox in `directory`; `notes` come when that is read.
    pub(super) fn new(
        directory: &Path,
        routing: Routing,
        submit: mpsc::Sender<Submission>,
        notes: oneshot::Receiver<Vec<Note>>,
    ) -> Self {
        Self {
            path: directory.join(INBOX),
            routing,
            submit,
            notes,
        }
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
        let open = Submission::Open(SessionId::INBOX, acks);
        if self.submit.send(open).await.is_err() {
            return;
        }
        let progress = notes.iter().filter_map(Progress::read);
        let known = |progress: Progress| {
            let is_absent = false;
            (
                progress.file.inode,
                Known {
                    progress,
                    is_absent,
                },
            )
        };
        let mut reader = Reader {
            folder: open_until(self.path).await,
            routing: self.routing,
            submit: self.submit,
            acks: acked,
            known: progress.map(known).collect(),
            refused: HashSet::new(),
        };
        loop {
            match reader.attend().await {
                Stop::Ended => return,
                Stop::Failed(error) => warn!(error = %Report(&error), "The inbox cannot be read."),
                Stop::Unwatched(error) => debug!(%error, "The inbox is not watched any more."),
            }
            sleep(LOOK_AGAIN).await;
            reader.folder = open_until(reader.folder.path().to_owned()).await;
        }
    }
}

/// Opens the directory once that is possible.
async fn open_until(path: PathBuf) -> Folder {
    let mut told = String::new();
    loop {
        let open = path.clone();
        let error = match blocking(move || Folder::open(open)).await {
            Ok(folder) => return folder,
            Err(error) => Report(&error).to_string(),
        };
        if error != told {
            warn!(%error, "The inbox cannot be used.");
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

impl Reader {
    /// Takes what comes, until that is not possible any more.
    async fn attend(&mut self) -> Stop {
        let directory = match Directory::watch_contents(self.folder.path()) {
            Ok(directory) => directory,
            Err(error) => return Stop::Unwatched(error),
        };
        loop {
            let next = match self.look().await {
                Ok(next) => next,
                Err(stop) => return stop,
            };
            let changed = tokio::select! {
                changed = directory.changed(), if next != Next::Now => changed,
                () = sleep(SOON), if next == Next::Soon => Ok(()),
                () = std::future::ready(()), if next == Next::Now => Ok(()),
            };
            if let Err(error) = changed {
                return Stop::Unwatched(error);
            }
        }
    }

    /// Takes everything there is.
    async fn look(&mut self) -> Result<Next, Stop> {
        let folder = self.folder.clone();
        let listing = blocking(move || folder.list()).await;
        let listing = listing.map_err(Stop::Failed)?;
        let mut next = Next::Never;
        for found in &listing.found {
            next = next.max(self.take(found).await?);
        }
        if !listing.is_whole {
            return Ok(next.max(Next::Soon));
        }
        let there: HashSet<Inode> = listing.found.iter().map(|found| found.inode).collect();
        self.refused.retain(|inode| there.contains(inode));
        Ok(next.max(self.forget(&there).await?))
    }

    /// Forgets files that are gone; only when they are missed twice, because one
    /// that is being renamed may be in no listing.
    async fn forget(&mut self, there: &HashSet<Inode>) -> Result<Next, Stop> {
        let mut next = Next::Never;
        let mut gone = Vec::new();
        for (inode, known) in &mut self.known {
            let was_absent = known.is_absent;
            known.is_absent = !there.contains(inode);
            if known.is_absent && was_absent {
                gone.push(*inode);
            } else if known.is_absent {
                next = Next::Soon;
            }
        }
        for inode in gone {
            self.forget_one(inode).await?;
        }
        Ok(next)
    }

    async fn forget_one(&mut self, inode: Inode) -> Result<(), Stop> {
        let Some(known) = self.known.remove(&inode) else {
            return Ok(());
        };
        // Another file may have the inode, and the note.
        let is_shared = |other: &Inode| (other.dev, other.ino) == (inode.dev, inode.ino);
        if self.known.keys().any(is_shared) {
            return Ok(());
        }
        let (_, noted) = self.offer(&[], known.progress.no_note()).await?;
        if !noted {
            debug!("The journal still remembers a file that is gone.");
        }
        Ok(())
    }

    /// Takes what is new in a file.
    async fn take(&mut self, found: &Found) -> Result<Next, Stop> {
        for _ in 0..PIECES_MAX {
            match self.step(found).await? {
                Step::Gone => return Ok(Next::Never),
                Step::Refused(why) => {
                    if self.refused.insert(found.inode) {
                        let file = found.name.to_string_lossy();
                        warn!(%file, why, "A file in the inbox is not read.");
                    }
                    return Ok(Next::Never);
                }
                Step::Piece(cut, progress) => self.record(found, cut, progress).await?,
                Step::Caught { is_partial, at } => {
                    return self.caught(found, is_partial, at).await;
                }
            }
        }
        Ok(Next::Now)
    }

    async fn step(&self, found: &Found) -> Result<Step, Stop> {
        let before = self.known.get(&found.inode).map(|known| known.progress);
        let (folder, found) = (self.folder.clone(), found.clone());
        let routing = self.routing.clone();
        let step = blocking(move || folder.step(&found, before.as_ref(), &routing));
        step.await.map_err(Stop::Failed)
    }

    /// There is nothing more in a file.
    async fn caught(&mut self, found: &Found, is_partial: bool, at: u64) -> Result<Next, Stop> {
        match (is_partial, found.is_appended()) {
            (true, _) => return Ok(Next::Soon),
            (false, true) => return Ok(Next::Never),
            (false, false) => {}
        }
        let (folder, file) = (self.folder.clone(), found.clone());
        let finished = blocking(move || folder.finish(&file, at)).await;
        if !finished.map_err(Stop::Failed)? {
            return Ok(Next::Soon);
        }
        let file = found.name.to_string_lossy();
        info!(%file, bytes = at, "A file from the inbox was taken.");
        self.forget_one(found.inode).await?;
        Ok(Next::Never)
    }

    /// Has a piece recorded, however long that takes.
    async fn record(
        &mut self,
        found: &Found,
        mut cut: Cut,
        progress: Progress,
    ) -> Result<(), Stop> {
        loop {
            self.reject(found, std::mem::take(&mut cut.rejects)).await?;
            let (outcomes, is_noted) = self.offer(&cut.lines, progress.note()).await?;
            if is_noted {
                let is_absent = false;
                let known = Known {
                    progress,
                    is_absent,
                };
                self.known.insert(found.inode, known);
                return Ok(());
            }
            sleep(cut.handle_outcomes(&outcomes)).await;
        }
    }

    async fn reject(&self, found: &Found, rejects: Vec<Reject>) -> Result<(), Stop> {
        if rejects.is_empty() {
            return Ok(());
        }
        let file = found.name.to_string_lossy();
        warn!(%file, count = rejects.len(), "Lines of the inbox were rejected.");
        let (folder, found) = (self.folder.clone(), found.clone());
        let written = blocking(move || folder.reject(&found, &rejects));
        written.await.map_err(Stop::Failed)
    }

    /// Offers lines, and what is to be remembered with them. Returns what became
    /// of each, and whether it is remembered.
    async fn offer(
        &mut self,
        lines: &[cut::Line],
        note: Note,
    ) -> Result<(HashMap<EffectId, Outcome>, bool), Stop> {
        let (noted, is_noted) = oneshot::channel();
        let piece = Piece {
            effects: lines.iter().map(|line| line.effect.clone()).collect(),
            note,
            noted,
        };
        let submitted = self.submit.send(Submission::Piece(piece)).await;
        submitted.map_err(|_| Stop::Ended)?;
        let mut outcomes = HashMap::new();
        while outcomes.len() < lines.len() {
            let acks = self.acks.recv().await.ok_or(Stop::Ended)?;
            outcomes.extend(acks.into_iter().map(|ack| (ack.id, ack.outcome)));
        }
        Ok((outcomes, is_noted.await.is_ok()))
    }
}

impl Cut {
    /// The piece was not recorded as a whole. Lines that never will be are
    /// rejects now. Returns when to offer the rest.
    fn handle_outcomes(&mut self, outcomes: &HashMap<EffectId, Outcome>) -> Duration {
        let mut again = AT_ONCE;
        for line in std::mem::take(&mut self.lines) {
            match outcomes.get(&line.effect.id) {
                Some(Err(failure)) if failure.class.is_final() => {
                    let body = line.effect.operation.body();
                    let reject = Reject::new(line.at, failure.to_string(), body);
                    self.rejects.push(reject);
                    continue;
                }
                Some(Err(_)) => again = SOON,
                _ => {}
            }
            self.lines.push(line);
        }
        again
    }
}
