//! Which journals may hold effects, told outside of them: a directory that is gone
//! says nothing.
//!
//! A journal has an [`ID`], and whoever opens it leaves a mark beside it before
//! anything is taken: a file `outbox-<id>`. It is taken away by a close with
//! nothing kept, and stays after a kill, or with something kept. So a mark without
//! its journal is of effects that were acknowledged and may never be published;
//! that is told until the journal is back, or the mark is gone.
//!
//! | what is at the path | then |
//! |---|---|
//! | the journal, with all it had | its mark is written anew |
//! | nothing, or another journal | it is used, and what is missed is told |
//! | the journal, as it was before | the same: it gets another id |
//!
//! A mark says a record that was durable, so a journal that ends before it is one
//! as it was earlier. It says a later one at most every tenth of a second, once
//! what it speaks of is synced and was answered; what was answered since, by a
//! burst that a kill has cut short, it cannot miss in a copy made meanwhile. These
//! are written over what it said before, as many bytes, and not synced: after a
//! power cut it may say an earlier record, of this life's start at least, and a
//! copy that has that is not told from what was lost.
//!
//! Costs two syncs a start, two or one an end, and none for an effect. Where a
//! mark cannot be left, everything goes on as without.

mod look;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};
use uuid::Uuid;

use super::place::Home;
use crate::journal::report::Report;
use look::{Folder, identity};
pub(in crate::journal) use look::{Marked, Missed};

/// The file in a journal's directory that tells it from all others.
pub(super) const ID: &str = "ID";

/// What an id is written to before it is one.
const NEXT_ID: &str = "next-id.tmp";

/// How soon a mark that could not be left is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a mark says a later record at most: that is a write of a line into
/// memory, and a copy is made of what is older than that.
const LATER_EVERY: Duration = Duration::from_millis(100);

/// The digits of the highest number.
const DIGITS_MAX: usize = 20;

/// What a mark says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    /// Where the journal was, for people.
    outbox: PathBuf,
    /// A record that it had on stable storage.
    seq: u64,
}

/// What was read of a journal.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Seen {
    /// The number of its last record.
    pub(in crate::journal) last: u64,
    /// The last that is on stable storage by now.
    pub(in crate::journal) durable: u64,
    /// Whether it was just found that its last records are damaged, and told.
    pub(in crate::journal) has_lost_its_end: bool,
}

impl Seen {
    /// What this report says, of a journal that is durable so far.
    pub(in crate::journal) fn by(report: &Report, durable: u64) -> Self {
        Self {
            last: report.last_seq,
            durable,
            has_lost_its_end: report.has_lost_its_end,
        }
    }

    /// Whether it was read of a journal that had more once, so far as a mark says.
    fn is_before(self, said: Option<u64>) -> bool {
        said.is_some_and(|said| self.last < said) && !self.has_lost_its_end
    }
}

/// The mark of the journal that is open.
#[derive(Debug)]
pub(in crate::journal) struct Mark {
    /// Where marks are.
    folder: Folder,
    /// The journal's path, and what is open of it.
    journal: PathBuf,
    directory: File,
    /// Once it has one, and the mark is there.
    id: Option<Uuid>,
    /// Marks of journals that are not here.
    missed: Vec<PathBuf>,
    again_at: Option<Instant>,
    /// The record that its mark says, if that is known.
    said: Option<u64>,
    /// When it may say a later one.
    later_at: Option<Instant>,
}

impl Mark {
    /// Leaves one; `None` where nobody asked for marks.
    pub(in crate::journal) fn leave(home: &Home, seen: Seen) -> Option<Self> {
        let (folder, journal, directory) = home.marked()?;
        let directory = directory.try_clone().ok()?;
        let mut mark = Self {
            folder: Folder::at(folder),
            journal: journal.to_owned(),
            directory,
            id: None,
            missed: Vec::new(),
            again_at: None,
            said: None,
            later_at: None,
        };
        let own = match identity(&mark.directory) {
            Ok(id) => id.filter(|id| !seen.is_before(mark.folder.said(*id))),
            Err(error) => {
                // Nobody knows whose the marks are.
                warn!(%error, "The id of the journal cannot be read.");
                return None;
            }
        };
        mark.missed = mark.folder.others_than(own);
        mark.write(own, seen.durable);
        if let Some(why) = mark.missed() {
            error!(%why, "An outbox is missed.");
        }
        Some(mark)
    }

    /// What is missed, for as long as it is.
    pub(in crate::journal) fn missed(&mut self) -> Option<Box<str>> {
        look::told(&mut self.missed, &self.journal)
    }

    /// Leaves what could not be left before, and says a later record.
    pub(in crate::journal) fn look_after(&mut self, durable: u64, now: Instant) {
        if let Some(id) = self.id {
            if self.due(durable, now).is_some_and(|due| due <= now) {
                let said = self.say_later(id, durable);
                let again = said.map_or(AGAIN_AFTER, |()| LATER_EVERY);
                self.later_at = Some(now + again);
            }
        } else if self.again_at.is_none_or(|at| at <= now) {
            self.again_at = Some(now + AGAIN_AFTER);
            let own = identity(&self.directory).ok().flatten();
            // One that has a mark already is behind it.
            let own = own.filter(|id| !self.folder.path(*id).exists());
            self.write(own, durable);
        }
    }

    /// When [`Self::look_after`] has a later record to say, if it has.
    pub(in crate::journal) fn due(&self, durable: u64, now: Instant) -> Option<Instant> {
        let is_later = self.said.is_none_or(|said| said < durable);
        (self.id.is_some() && is_later).then(|| self.later_at.unwrap_or(now))
    }

    /// The last thing: takes it away, if nothing is kept.
    pub(in crate::journal) fn close(mut self, live: u64, durable: u64) {
        let Some(id) = self.id else { return };
        if 0 < live {
            _ = self.say(id, durable);
        } else if fs::remove_file(self.folder.path(id)).is_ok() {
            _ = self.folder.sync();
        }
    }

    fn write(&mut self, own: Option<Uuid>, durable: u64) {
        let id = own.map_or_else(|| self.make_identity(), Ok);
        match id.and_then(|id| self.say(id, durable).map(|()| id)) {
            Ok(id) => self.id = Some(id),
            // The one that it has will do.
            Err(_) if own.is_some_and(|id| self.folder.path(id).exists()) => self.id = own,
            Err(error) if self.again_at.is_none() => {
                warn!(%error, "The outbox's mark could not be left; it is tried again.");
            }
            Err(_) => {}
        }
    }

    fn say(&mut self, id: Uuid, seq: u64) -> io::Result<()> {
        let path = self.folder.path(id);
        let next = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&next)?;
        file.write_all(&self.line(seq)?)?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        self.said = Some(seq);
        self.folder.sync()
    }

    /// Says it in place: no crash leaves half of so few bytes, and a full disk has
    /// room for them.
    fn say_later(&mut self, id: Uuid, seq: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match options.open(self.folder.path(id)) {
            Ok(file) => file.write_all_at(&self.line(seq)?, 0)?,
            // Somebody has removed it, and it is needed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.say(id, seq)?,
            Err(error) => return Err(error),
        }
        self.said = Some(seq);
        Ok(())
    }

    /// Of one length, whatever the number.
    fn line(&self, seq: u64) -> io::Result<Vec<u8>> {
        let outbox = self.journal.clone();
        let mut line = serde_json::to_vec(&Said { outbox, seq })?;
        let digits = seq.to_string().len();
        line.resize(line.len() + DIGITS_MAX - digits, b' ');
        Ok(line)
    }

    fn make_identity(&self) -> io::Result<Uuid> {
        let id = Uuid::new_v4();
        let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let how = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.directory, NEXT_ID, how, mode)?);
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        renameat(&self.directory, NEXT_ID, &self.directory, ID)?;
        self.directory.sync_all()?;
        Ok(id)
    }
}
