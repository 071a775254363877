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

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};
use uuid::Uuid;

use super::place::Home;

/// The file in a journal's directory that tells it from all others.
pub(super) const ID: &str = "ID";

/// What an id is written to before it is one.
const NEXT_ID: &str = "next-id.tmp";

/// What the names of marks begin with.
const PREFIX: &str = "outbox-";

/// How soon a mark that could not be left is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a mark says a later record at most: that is a write of a line into
/// memory, and a copy is made of what is older than that.
const LATER_EVERY: Duration = Duration::from_millis(100);

/// The digits of the highest number.
const DIGITS_MAX: usize = 20;

/// What is read of a file at most: they have a line.
const BYTES_MAX: u64 = 64 << 10;

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

/// The mark of the journal that is open.
#[derive(Debug)]
pub(in crate::journal) struct Mark {
    /// Where marks are.
    folder: PathBuf,
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
            folder: folder.to_owned(),
            journal: journal.to_owned(),
            directory,
            id: None,
            missed: Vec::new(),
            again_at: None,
            said: None,
            later_at: None,
        };
        let own = match mark.identity() {
            Ok(id) => id.filter(|id| !mark.is_behind(*id, seen)),
            Err(error) => {
                // Nobody knows whose the marks are.
                warn!(%error, "The id of the journal cannot be read.");
                return None;
            }
        };
        let is_other = |(id, _): &(Uuid, PathBuf)| Some(*id) != own;
        let others = mark.all().into_iter().filter(is_other);
        mark.missed = others.map(|(_, path)| path).collect();
        mark.write(own, seen.durable);
        if let Some(why) = mark.missed() {
            error!(%why, "An outbox is missed.");
        }
        Some(mark)
    }

    /// What is missed, for as long as it is.
    pub(in crate::journal) fn missed(&mut self) -> Option<Box<str>> {
        // A look that fails says nothing.
        let is_gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        let is_there = |path: &PathBuf| !path.symlink_metadata().is_err_and(is_gone);
        self.missed.retain(is_there);
        let marks = self.missed.iter().map(|path| path.display().to_string());
        let marks: Vec<String> = marks.collect();
        let path = self.journal.display();
        (!marks.is_empty()).then(|| {
            format!("effects that were acknowledged may be forgotten: the outbox that had them is not at {path} any more, or not as it was; falco stop and put it back, or remove {} if it is meant to be gone", marks.join(" and ")).into()
        })
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
            let own = self.identity().ok().flatten();
            // One that has a mark already is behind it.
            let own = own.filter(|id| !self.path(*id).exists());
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
        } else if fs::remove_file(self.path(id)).is_ok() {
            _ = sync(&self.folder);
        }
    }

    fn write(&mut self, own: Option<Uuid>, durable: u64) {
        let id = own.map_or_else(|| self.make_identity(), Ok);
        match id.and_then(|id| self.say(id, durable).map(|()| id)) {
            Ok(id) => self.id = Some(id),
            // The one that it has will do.
            Err(_) if own.is_some_and(|id| self.path(id).exists()) => self.id = own,
            Err(error) if self.again_at.is_none() => {
                warn!(%error, "The outbox's mark could not be left; it is tried again.");
            }
            Err(_) => {}
        }
    }

    fn say(&mut self, id: Uuid, seq: u64) -> io::Result<()> {
        let path = self.path(id);
        let next = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&next)?;
        file.write_all(&self.line(seq)?)?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        self.said = Some(seq);
        sync(&self.folder)
    }

    /// Says it in place: no crash leaves half of so few bytes, and a full disk has
    /// room for them.
    fn say_later(&mut self, id: Uuid, seq: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match options.open(self.path(id)) {
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

    fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{PREFIX}{id}"))
    }

    /// Every mark there is, in order.
    fn all(&self) -> Vec<(Uuid, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let id = name.strip_prefix(PREFIX)?.parse().ok()?;
                (self.path(id) == entry.path()).then(|| (id, entry.path()))
            })
            .collect();
        all.sort();
        all
    }

    /// Whether it had more than it has now. What cannot be read says nothing.
    fn is_behind(&self, id: Uuid, seen: Seen) -> bool {
        let said = read(OpenOptions::new().read(true).open(self.path(id)));
        let said = said.and_then(|said| Ok(serde_json::from_slice::<Said>(&said)?));
        said.is_ok_and(|said| seen.last < said.seq) && !seen.has_lost_its_end
    }

    /// The id that the journal has.
    fn identity(&self) -> io::Result<Option<Uuid>> {
        let how = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(&self.directory, ID, how, Mode::empty()) {
            Ok(file) => {
                let text = read(Ok(File::from(file)))?;
                let text = String::from_utf8_lossy(&text);
                Ok(text.trim().parse().ok())
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

fn read(file: io::Result<File>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
