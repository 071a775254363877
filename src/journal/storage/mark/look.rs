//! Which marks there are, and what a journal misses by them; changes nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use uuid::Uuid;

use super::{ID, Said, Seen};

/// What the names of marks begin with.
const PREFIX: &str = "outbox-";

/// What is read of a file at most: they have a line.
const BYTES_MAX: u64 = 64 << 10;

/// Where marks are.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where the mark of the journal with this id is.
    pub(super) fn path(&self, id: Uuid) -> PathBuf {
        self.0.join(format!("{PREFIX}{id}"))
    }

    /// The record that it says. What cannot be read says nothing.
    pub(super) fn said(&self, id: Uuid) -> Option<u64> {
        let said = read(OpenOptions::new().read(true).open(self.path(id))).ok()?;
        let said: Said = serde_json::from_slice(&said).ok()?;
        Some(said.seq)
    }

    /// The marks of all other journals, in order.
    pub(super) fn others_than(&self, own: Option<Uuid>) -> Vec<PathBuf> {
        let others = self.all().into_iter().filter(|(id, _)| Some(*id) != own);
        others.map(|(_, path)| path).collect()
    }

    /// Every mark there is, in order.
    fn all(&self) -> Vec<(Uuid, PathBuf)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
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

    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// What the marks said before a journal was read, of which a later one may be
/// said meanwhile.
#[derive(Debug)]
pub(in crate::journal) struct Marked {
    folder: Folder,
    journal: PathBuf,
    /// The id that the journal has.
    own: Option<Uuid>,
    /// The record that its mark says.
    said: Option<u64>,
}

/// What is not there any more, so far as the marks say.
#[derive(Debug, Default)]
pub(in crate::journal) struct Missed {
    /// For people.
    pub(in crate::journal) why: Option<Box<str>>,
    /// The record that the journal's own mark says, if it has lost that.
    pub(in crate::journal) had: Option<u64>,
}

impl Marked {
    /// In `folder`, of the journal that is at this path, and open; `None` if nobody
    /// knows whose the marks are.
    pub(in crate::journal) fn look(
        folder: &Path,
        journal: &Path,
        directory: &File,
    ) -> Option<Self> {
        let folder = Folder::at(folder);
        let own = identity(directory).ok()?;
        let said = own.and_then(|id| folder.said(id));
        Some(Self {
            folder,
            journal: journal.to_owned(),
            own,
            said,
        })
    }

    /// What whoever opened the journal would say that it misses.
    pub(in crate::journal) fn missed(&self, seen: Seen) -> Missed {
        let had = self.said.filter(|said| seen.is_before(Some(*said)));
        let own = self.own.filter(|_| had.is_none());
        let mut others = self.folder.others_than(own);
        let why = told(&mut others, &self.journal);
        Missed { why, had }
    }
}

/// What is missed by the marks of `missed` that are still there, for people.
pub(super) fn told(missed: &mut Vec<PathBuf>, journal: &Path) -> Option<Box<str>> {
    // A look that fails says nothing.
    let is_gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let is_there = |path: &PathBuf| !path.symlink_metadata().is_err_and(is_gone);
    missed.retain(is_there);
    let marks = missed.iter().map(|path| path.display().to_string());
    let marks: Vec<String> = marks.collect();
    let path = journal.display();
    (!marks.is_empty()).then(|| {
        format!("effects that were acknowledged may be forgotten: the outbox that had them is not at {path} any more, or not as it was; `falco stop` and put it back, or remove {} if it is meant to be gone", marks.join(" and ")).into()
    })
}

/// The id that a journal has.
pub(super) fn identity(directory: &File) -> io::Result<Option<Uuid>> {
    let how = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(directory, ID, how, Mode::empty()) {
        Ok(file) => {
            let text = read(Ok(File::from(file)))?;
            let text = String::from_utf8_lossy(&text);
            Ok(text.trim().parse().ok())
        }
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(file: io::Result<File>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
