//! Looks at the directory whenever it changes, and takes what is new.

mod known;
mod record;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;
use uuid::Uuid;

use super::behind::Behind;
use super::calm::Calm;
use super::file::{Caught, Step};
use super::folder::{Finish, Folder, FolderError, Found, Listing};
use super::offer::Offers;
use super::progress::Inode;
use super::tally::{Holds, Tally};
use super::{Stop, blocking};
use crate::net::directory::Directory;
use crate::protocol::envelope::Routing;
use crate::report::Report;

use known::Known;

/// How soon a file is looked at that is not finished.
const SOON: Duration = Duration::from_secs(1);

/// Pieces of one file, before the directory is listed once more and it is told
/// how much waits.
const PIECES_MAX: usize = 64;

/// When to look again, if nobody says that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Never,
    Soon,
    Now,
}

/// Why a file is not gone on with.
#[derive(Debug)]
enum Halt {
    /// Nothing is.
    All(Stop),
    /// The others are.
    One(FolderError),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::All(stop)
    }
}

impl From<FolderError> for Halt {
    fn from(error: FolderError) -> Self {
        Self::One(error)
    }
}

/// See the module.
pub(super) struct Reader {
    pub(super) folder: Folder,
    pub(super) tally: Tally,
    routing: Routing,
    offers: Offers,
    known: HashMap<Inode, Known>,
    /// The file that was appended to when last looked for.
    appended: Option<Inode>,
    holds: Holds,
    behind: Behind,
    calm: Calm,
    /// Notes under ids that are not used any more, and their files.
    older: Vec<(Uuid, Inode)>,
}

impl Reader {
    pub(super) fn new(folder: Folder, routing: Routing, offers: Offers, tally: Tally) -> Self {
        Self {
            folder,
            tally,
            routing,
            offers,
            known: HashMap::new(),
            appended: None,
            holds: Holds::default(),
            behind: Behind::default(),
            calm: Calm::default(),
            older: Vec::new(),
        }
    }

    /// Takes what comes, until that is not possible any more.
    pub(super) async fn attend(&mut self) -> Stop {
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
        let (folder, held) = (self.folder.clone(), self.holds.inodes());
        let listing = blocking(move || folder.list(&held)).await;
        let mut listing = listing.map_err(Stop::Failed)?;
        let now = Instant::now();
        for found in &mut listing.found {
            found.is_calm = self.calm.sees(found.inode, found.shape, now);
        }
        self.tell(&listing.found);
        let mut next = self.renew().await?;
        let mut is_held_up = false;
        for found in &listing.found {
            if is_held_up && self.behind.waits(found.inode, now) {
                continue;
            }
            if found.is_appended() && !self.is_its_turn(found, &listing) {
                next = next.max(if listing.is_whole {
                    Next::Now
                } else {
                    Next::Soon
                });
                continue;
            }
            self.behind.free(found.inode);
            let taken = self.attempt(found).await?;
            next = next.max(taken);
            // What is behind it comes when its lines are taken.
            if taken == Next::Now {
                break;
            }
            is_held_up |= self.holds.holds_up(found, now);
        }
        self.tally.set_trouble(None);
        let there: HashSet<Inode> = listing.found.iter().map(|found| found.inode).collect();
        self.calm.retain(&there);
        self.behind.retain(&there);
        if !listing.is_whole {
            self.tell(&listing.found);
            return Ok(next.max(Next::Soon));
        }
        self.holds.retain(&there);
        self.tell(&listing.found);
        Ok(next.max(self.forget(&there).await?))
    }

    /// Whether what is appended to may be read. What was renamed away from that
    /// name goes before it: so when it is another file than before, the
    /// directory is listed once more, for a file that is being renamed may be in
    /// no listing; and while there are others that are not listed, it waits.
    fn is_its_turn(&mut self, found: &Found, listing: &Listing) -> bool {
        let is_the_same = self.appended.replace(found.inode) == Some(found.inode);
        is_the_same && listing.is_whole
    }

    /// Says what waits.
    fn tell(&self, found: &[Found]) {
        let taken = |found: &Found| {
            let known = self.known.get(&found.inode);
            known.map_or(0, |known| known.progress.at)
        };
        let waiting = found
            .iter()
            .filter(|found| taken(found) < found.shape.bytes);
        self.tally.set_waiting(waiting.count(), self.holds.told());
    }

    /// Takes what is new in a file; one that fails holds nobody up.
    async fn attempt(&mut self, found: &Found) -> Result<Next, Stop> {
        match self.take(found).await {
            Ok(next) => Ok(next),
            Err(Halt::All(stop)) => Err(stop),
            Err(Halt::One(error)) => {
                self.holds.fail(found, Report(&error).to_string());
                let folder = self.folder.clone();
                // What is wrong with the directory is wrong with all.
                let open = blocking(move || folder.again()).await;
                open.map(|_| Next::Soon).map_err(Stop::Failed)
            }
        }
    }

    /// Takes what is new in a file.
    async fn take(&mut self, found: &Found) -> Result<Next, Halt> {
        if let Some(bytes) = self.holds.waits_still(found) {
            self.holds.wait(found, bytes, true, Instant::now());
            return Ok(Next::Soon);
        }
        for _ in 0..PIECES_MAX {
            match self.step(found).await? {
                Step::Gone => return Ok(Next::Never),
                Step::Refused(why) => {
                    self.holds.refuse(found, why);
                    return Ok(Next::Never);
                }
                Step::Piece(cut, progress) => self.record(found, cut, progress).await?,
                Step::Caught(caught) => return self.caught(found, &caught).await,
            }
        }
        Ok(Next::Now)
    }

    async fn step(&self, found: &Found) -> Result<Step, FolderError> {
        let before = self.known.get(&found.inode).map(|known| known.progress);
        let (folder, found) = (self.folder.clone(), found.clone());
        let routing = self.routing.clone();
        let step = blocking(move || folder.step(&found, before.as_ref(), &routing));
        step.await
    }

    /// There is no further line in a file.
    async fn caught(&mut self, found: &Found, caught: &Caught) -> Result<Next, Halt> {
        let Caught { at, rest, is_calm } = *caught;
        if 0 < rest {
            self.holds.wait(found, at + rest, is_calm, Instant::now());
            return Ok(Next::Soon);
        }
        if found.is_appended() {
            self.holds.free(found.inode);
            return Ok(Next::Never);
        }
        let (folder, file) = (self.folder.clone(), found.clone());
        let finish = blocking(move || folder.finish(&file, at)).await?;
        self.holds.free(found.inode);
        if finish == Finish::NotYet {
            return Ok(Next::Soon);
        }
        let file = found.name.to_string_lossy();
        info!(%file, bytes = at, "A file from the inbox was taken.");
        if finish == Finish::Away {
            self.forget_one(found.inode).await?;
            return Ok(Next::Never);
        }
        // By its other name it is not taken again; it is forgotten once it is missed.
        Ok(Next::Soon)
    }
}

#[cfg(test)]
mod tests;
