//! The directory: what is in it, what is put away, what is told of rejected
//! lines. Everything here may block.
//!
//! Never writes to a file that others write, and removes none.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use tracing::warn;
use uuid::Uuid;

use super::calm::Shape;
use super::cut::Reject;
use super::file::{Document, Opened, Step, inode, shape};
use super::progress::{Inode, Progress};
use crate::journal::Home;
use crate::protocol::envelope::Routing;

/// The file that producers append to.
const APPENDED: &str = "external.jsonl";

/// Files looked at in one go, besides those that wait for whoever made them;
/// the next are looked at when some of these are gone.
const FILES_MAX: usize = 1024;

/// Why the inbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("failed to {doing} {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not private: {reason}")]
    Insecure { path: PathBuf, reason: &'static str },
    /// What has its path is not ours.
    #[error("{0}")]
    Astray(String),
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// The outbox it belongs to: what stands in the place of that is not touched,
    /// and what is in there is nobody's to publish.
    home: Home,
}

/// A name in the inbox.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub name: OsString,
    pub inode: Inode,
    pub shape: Shape,
    /// It has looked like that for a while.
    pub is_calm: bool,
}

/// What there is to be read.
#[derive(Debug)]
pub(super) struct Listing {
    /// By name; the one that is appended to comes last.
    pub found: Vec<Found>,
    pub is_whole: bool,
}

/// What came of putting a file away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// It is still being written to, or another has its name.
    NotYet,
    /// It is nowhere else.
    Away,
    /// It has another name, which may be in the inbox, too: somebody linked it, or
    /// a kill came while it was given its name again.
    AwayFromHere,
}

impl Found {
    /// Whether it stays where it is.
    pub(super) fn is_appended(&self) -> bool {
        self.name == APPENDED
    }

    /// What was renamed away from the name that is appended to goes before what
    /// has that name now.
    fn place(&self) -> (bool, &OsStr) {
        (self.is_appended(), &self.name)
    }

    fn calm(&self) -> Option<Shape> {
        self.is_calm.then_some(self.shape)
    }
}

impl Folder {
    /// The one at `path`, only to be listed.
    pub(super) fn at(path: PathBuf) -> Self {
        let home = Home::default();
        Self { path, home }
    }

    /// Makes what is missing, and checks that nobody else can drop anything.
    pub(super) fn open(path: PathBuf, home: Home) -> Result<Self, FolderError> {
        let folder = Self { path, home };
        folder.is_ours()?;
        for path in [folder.path.clone(), folder.done(), folder.rejected()] {
            make(&path)?;
        }
        Ok(folder)
    }

    /// The same, once more.
    pub(super) fn again(&self) -> Result<Self, FolderError> {
        Self::open(self.path.clone(), self.home.clone())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looked at before anything is done there.
    fn is_ours(&self) -> Result<(), FolderError> {
        self.home
            .astray()
            .map_or(Ok(()), |why| Err(FolderError::Astray(why)))
    }

    fn done(&self) -> PathBuf {
        self.path.join("done")
    }

    fn rejected(&self) -> PathBuf {
        self.path.join("rejected")
    }

    /// The first of the files that are to be read, by name. Those that are
    /// `held` and the one that is appended to take nobody's place.
    pub(super) fn list(&self, held: &HashSet<Inode>) -> Result<Listing, FolderError> {
        self.is_ours()?;
        let failed = |source| io_error("list", &self.path, source);
        let mut besides = Vec::new();
        let mut first = BTreeMap::new();
        let mut is_whole = true;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !is_wanted(&name) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let found = Found {
                name,
                inode: inode(&meta),
                shape: shape(&meta),
                is_calm: false,
            };
            if found.is_appended() || held.contains(&found.inode) {
                besides.push(found);
                continue;
            }
            first.insert(found.name.clone(), found);
            if first.len() > FILES_MAX {
                first.pop_last();
                is_whole = false;
            }
        }
        let mut found: Vec<Found> = first.into_values().chain(besides).collect();
        found.sort_by(|one, other| one.place().cmp(&other.place()));
        Ok(Listing { found, is_whole })
    }

    /// Reads on in a file.
    pub(super) fn step(
        &self,
        found: &Found,
        before: Option<&Progress>,
        routing: &Routing,
    ) -> Result<Step, FolderError> {
        self.is_ours()?;
        let path = self.path.join(&found.name);
        let failed = |source| io_error("read", &path, source);
        match Document::open(&path, found.calm()).map_err(failed)? {
            Opened::Gone => Ok(Step::Gone),
            Opened::Refused(why) => Ok(Step::Refused(why)),
            // Another has its name by now, and its turn comes.
            Opened::Open(document) if document.inode != found.inode => Ok(Step::Gone),
            Opened::Open(document) => document
                .step(before, found.is_appended(), routing)
                .map_err(failed),
        }
    }

    /// Puts away a file of which everything up to `at` was taken; not while
    /// somebody writes to it.
    pub(super) fn finish(&self, found: &Found, at: u64) -> Result<Finish, FolderError> {
        self.is_ours()?;
        let path = self.path.join(&found.name);
        let failed = |source| io_error("put away", &path, source);
        let opened = Document::open(&path, found.calm()).map_err(failed)?;
        let Opened::Open(document) = opened else {
            return Ok(Finish::NotYet);
        };
        if document.inode != found.inode || document.bytes != at || !document.is_calm {
            return Ok(Finish::NotYet);
        }
        if !self.put_away(&path, &document, at).map_err(failed)? {
            return Ok(Finish::NotYet);
        }
        Ok(match document.names().map_err(failed)? {
            0..=1 => Finish::Away,
            _ => Finish::AwayFromHere,
        })
    }

    /// Moves what was opened, and nothing else: somebody may have renamed another
    /// file onto its name since. So it goes first to a name of the inbox that
    /// nobody else knows, and from there, if it is the one: wherever this is
    /// killed, what was not taken is in the inbox.
    fn put_away(&self, path: &Path, document: &Document, at: u64) -> io::Result<bool> {
        let name = path.file_name().unwrap_or_default();
        let to = free_name(&self.done(), name)?;
        let aside = self.path.join(name_aside(name));
        fs::rename(path, &aside)?;
        let leave = || {
            let is_it = inode(&aside.symlink_metadata()?) == document.inode;
            let is_taken = is_it && document.bytes_now()? == at;
            if is_taken {
                fs::rename(&aside, &to)?;
            }
            Ok(is_taken)
        };
        let left = leave();
        if !matches!(left, Ok(true)) {
            give_back(&aside, path);
            return left;
        }
        for folder in [self.done(), self.path.clone()] {
            sync(&folder)?;
        }
        Ok(true)
    }

    /// Writes down, for people, what was rejected; after a crash perhaps twice.
    /// Lines are counted as `counted` says. Returns the numbers of the lines.
    pub(super) fn reject(
        &self,
        found: &Found,
        rejects: &[Reject],
        counted: &mut Counted,
    ) -> Result<Vec<Option<u64>>, FolderError> {
        self.is_ours()?;
        let numbers = self.numbers(found, rejects, counted);
        let path = self.rejected().join(&found.name);
        let failed = |source| io_error("write", &path, source);
        let file = found.name.to_string_lossy();
        let mut text = Vec::new();
        for (Reject { at, reason, line }, number) in rejects.iter().zip(&numbers) {
            let line = String::from_utf8_lossy(line);
            let told = serde_json::json!({
                "file": file, "number": number, "offset": at, "reason": reason, "line": line,
            });
            text.extend(format!("{told}\n").into_bytes());
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = options.custom_flags(flags).open(&path).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        sync(&self.rejected()).map_err(failed)?;
        Ok(numbers)
    }

    /// Which lines of a file they are, the first being 1; unknown, if the file
    /// cannot be read any more.
    fn numbers(
        &self,
        found: &Found,
        rejects: &[Reject],
        counted: &mut Counted,
    ) -> Vec<Option<u64>> {
        let opened = Document::open(&self.path.join(&found.name), None);
        let Ok(Opened::Open(document)) = opened else {
            return vec![None; rejects.len()];
        };
        if document.inode != found.inode || counted.go_on(&document).is_err() {
            return vec![None; rejects.len()];
        }
        let mut counted = *counted;
        let mut number = |reject: &Reject| {
            counted.to = reject.at;
            counted.go_on(&document).ok()
        };
        rejects.iter().map(&mut number).collect()
    }
}

/// How many lines of a file end before a place, as far as they were counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    at: u64,
    lines: u64,
    /// Where they are to be counted to: the piece that is taken begins there.
    to: u64,
}

impl Counted {
    /// The same, for the piece that begins at `to`.
    pub(super) fn up_to(self, to: u64) -> Self {
        Self { to, ..self }
    }

    /// Counts; returns the number of the line that begins there.
    fn go_on(&mut self, document: &Document) -> io::Result<u64> {
        if self.to < self.at {
            // It was written anew.
            *self = Self::default().up_to(self.to);
        }
        self.lines += document.lines_between(self.at, self.to)?;
        self.at = self.to;
        Ok(self.lines + 1)
    }
}

fn is_wanted(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".jsonl") && !name.starts_with(b".")
}

/// A path in `folder` that nothing has yet; shorter than it would be, where names
/// may not be so long.
fn free_name(folder: &Path, name: &OsStr) -> io::Result<PathBuf> {
    let mut stem = Path::new(name)
        .file_stem()
        .unwrap_or(name)
        .to_owned()
        .into_vec();
    let mut path = folder.join(name);
    let mut n = 0_u64;
    loop {
        match path.symlink_metadata() {
            Ok(_) => n += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) && 1 < stem.len() => {
                pop_char(&mut stem);
            }
            Err(error) => return Err(error),
        }
        let numbered = [&stem[..], format!(".{n}.jsonl").as_bytes()].concat();
        path = folder.join(OsString::from_vec(numbered));
    }
}

/// A name that nobody has and the inbox reads, near that of `name`.
fn name_aside(name: &OsStr) -> OsString {
    /// With what follows it is no longer than names may be.
    const STEM_BYTES_MAX: usize = 200;
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let mut stem = stem.to_owned().into_vec();
    while STEM_BYTES_MAX < stem.len() {
        pop_char(&mut stem);
    }
    stem.extend(format!(".{}.jsonl", Uuid::new_v4()).into_bytes());
    OsString::from_vec(stem)
}

/// Gives what is `aside` its name again, unless another has that by now or
/// that is impossible: then it is read where it is.
fn give_back(aside: &Path, path: &Path) {
    // A link takes no other's name.
    let given = fs::hard_link(aside, path).and_then(|()| fs::remove_file(aside));
    if let Err(error) = given {
        let (path, aside) = (path.display(), aside.display());
        warn!(%path, %aside, %error, "A file of the inbox has another name now.");
    }
}

/// Takes off the last character; a byte, where it is none.
fn pop_char(text: &mut Vec<u8>) {
    const CONTINUES: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
    while text.pop().is_some_and(|byte| CONTINUES.contains(&byte)) {}
}

fn make(path: &Path) -> Result<(), FolderError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io_error("make", path, error));
        }
        _ => {}
    }
    let meta = path.symlink_metadata();
    let meta = meta.map_err(|source| io_error("look at", path, source))?;
    let reason = match () {
        () if !meta.is_dir() => "it is no directory",
        () if meta.uid() != nix::unistd::geteuid().as_raw() => "it belongs to another user",
        () if meta.mode() & 0o077 != 0 => "others may enter it; chmod 700 it",
        () => return Ok(()),
    };
    let path = path.to_owned();
    Err(FolderError::Insecure { path, reason })
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> FolderError {
    let path = path.to_owned();
    FolderError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_as_long_as_names_may_be_comes_again_as_a_shorter_one() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a".repeat(249), "\u{e4}".repeat(124)];
        for name in names.map(|stem| OsString::from(stem + ".jsonl")) {
            let mut paths = HashSet::new();
            for _ in 0..12 {
                let path = free_name(folder.path(), &name).unwrap();
                fs::write(&path, "").unwrap();
                assert_eq!(path.extension(), Some(OsStr::new("jsonl")));
                assert!(paths.insert(path), "it was free");
            }
        }
    }

    /// An inbox in which `a.jsonl` was taken, and is about to be put away.
    fn leaving(text: &str) -> (tempfile::TempDir, Folder, PathBuf, Document) {
        let dir = tempfile::tempdir().unwrap();
        let inbox = dir.path().join("inbox");
        DirBuilder::new().mode(0o700).create(&inbox).unwrap();
        let folder = Folder::open(inbox, Home::default()).unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, text).unwrap();
        let Ok(Opened::Open(document)) = Document::open(&path, None) else {
            panic!("it opens");
        };
        (dir, folder, path, document)
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| is_wanted(name)).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_was_taken_is_put_away_under_its_name() {
        let (_dir, folder, path, document) = leaving("one\n");
        assert!(folder.put_away(&path, &document, 4).unwrap());
        assert_eq!(names(&folder.done()), ["a.jsonl"]);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_was_renamed_onto_the_name_of_one_that_was_taken_stays() {
        let (dir, folder, path, document) = leaving("one\n");
        let other = dir.path().join("other");
        fs::write(&other, "two\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!folder.put_away(&path, &document, 4).unwrap());
        assert!(names(&folder.done()).is_empty());
        assert_eq!(names(folder.path()), ["a.jsonl"]);
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
    }

    #[test]
    fn a_file_that_has_grown_stays() {
        let (_dir, folder, path, document) = leaving("one\n");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert!(!folder.put_away(&path, &document, 4).unwrap());
        assert!(names(&folder.done()).is_empty());
        assert_eq!(names(folder.path()), ["a.jsonl"]);
    }

    #[test]
    fn a_file_whose_name_another_has_by_now_is_read_where_it_is() {
        let (_dir, folder, path, _) = leaving("new\n");
        let long = OsString::from("\u{e4}".repeat(124) + ".jsonl");
        for name in [OsStr::new("a.jsonl"), &long] {
            let aside = folder.path().join(name_aside(name));
            fs::write(&aside, "old\n").unwrap();
            give_back(&aside, &path);
            assert_eq!(fs::read(&path).unwrap(), b"new\n");
            let found = folder.list(&HashSet::new()).unwrap().found;
            let mut found = found.iter().map(|found| folder.path().join(&found.name));
            assert!(found.any(|path| path == aside));
        }
    }

    #[test]
    fn where_nothing_can_be_looked_at_no_name_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let no_folder = folder.path().join("file");
        fs::write(&no_folder, "").unwrap();
        let error = free_name(&no_folder, OsStr::new("a.jsonl")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }
}
