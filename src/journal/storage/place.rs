//! Where a directory is, and whether that is where its path leads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat, lstat};

use super::super::error::OpenError;
use crate::counted::counted;

/// The directory in which one run keeps its effects: the first that is opened.
///
/// A journal begun in another one beside it would look as if nothing had ever
/// been kept. It is held open, so that nothing else can be taken for it. Clones
/// are of the same run.
#[derive(Clone, Default)]
pub struct Home(Arc<Kept>);

#[derive(Default)]
struct Kept {
    place: OnceLock<(PathBuf, File)>,
    /// Where it is told which journals may hold effects.
    marks: Option<PathBuf>,
    effects: AtomicU64,
}

/// Two of them differ in nothing that anybody configures.
impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Home")
    }
}

impl Home {
    /// One that leaves marks in this folder, which has to exist.
    #[must_use]
    pub fn marked_in(folder: PathBuf) -> Self {
        Self(Arc::new(Kept {
            marks: Some(folder),
            ..Kept::default()
        }))
    }

    /// Where marks are left, and of what, if that is known.
    pub(super) fn marked(&self) -> Option<(&Path, &Path, &File)> {
        let (path, directory) = self.0.place.get()?;
        Some((self.marks()?, path, directory))
    }

    /// Where marks are left, if anywhere.
    pub(super) fn marks(&self) -> Option<&Path> {
        self.0.marks.as_deref()
    }

    /// What became of the directory, if its path does not lead to it any more.
    #[must_use]
    pub fn astray(&self) -> Option<String> {
        let (path, directory) = self.0.place.get()?;
        away(directory, path)
    }

    /// Whether its path still leads to it, if there is one already.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        self.astray()
            .map_or(Ok(()), |why| Err(OpenError::Astray(why)))
    }

    /// Takes the first directory for it; any other is not it.
    pub(super) fn enter(&self, path: &Path, directory: &File) -> Result<(), OpenError> {
        let copy = directory.try_clone().map_err(|source| OpenError::Io {
            doing: "hold journal",
            path: path.to_owned(),
            source,
        })?;
        self.0.place.get_or_init(|| (path.to_owned(), copy));
        self.check()
    }

    /// So many effects in it are not settled.
    pub(in crate::journal) fn keep(&self, effects: u64) {
        self.0.effects.store(effects, Relaxed);
    }

    /// What would not be found any more where it was kept, if that is so.
    #[must_use]
    pub fn left_behind(&self) -> Option<String> {
        let effects = self.0.effects.load(Relaxed);
        let why = self.astray().filter(|_| 0 < effects)?;
        let effects = counted(effects, "effect");
        Some(format!("{effects} that were kept are not published: {why}"))
    }
}

/// What became of `directory`, if `path` does not lead to it any more.
pub(super) fn away(directory: &File, path: &Path) -> Option<String> {
    if is_same(directory, lstat(path)) {
        return None;
    }
    let path = path.display();
    let told = format!("{path} was moved, removed or replaced while it was in use");
    Some(match whereabouts(directory) {
        Whereabouts::Gone => {
            format!("{told}, and is gone; `falco stop`, then `falco up`, begins a new one")
        }
        Whereabouts::At(now) => format!("{told}; it is {} now: put it back", now.display()),
        Whereabouts::Unknown => format!("{told}; put back the one that was there"),
    })
}

enum Whereabouts {
    Gone,
    At(PathBuf),
    Unknown,
}

#[cfg(target_os = "linux")]
fn whereabouts(directory: &File) -> Whereabouts {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    match std::fs::read_link(link) {
        Ok(path) if path.to_string_lossy().ends_with(" (deleted)") => Whereabouts::Gone,
        Ok(path) => Whereabouts::At(path),
        Err(_) => Whereabouts::Unknown,
    }
}

#[cfg(target_vendor = "apple")]
fn whereabouts(directory: &File) -> Whereabouts {
    use nix::fcntl::{FcntlArg, fcntl};
    if fstat(directory).is_ok_and(|stat| stat.st_nlink == 0) {
        return Whereabouts::Gone;
    }
    let mut path = PathBuf::new();
    match fcntl(directory, FcntlArg::F_GETPATH(&mut path)) {
        Ok(_) => Whereabouts::At(path),
        Err(_) => Whereabouts::Unknown,
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn whereabouts(_: &File) -> Whereabouts {
    Whereabouts::Unknown
}

/// Whether what a name gives is this very file. Where that cannot be told it is
/// taken to be: a look that fails is no reason to give anything up.
pub(super) fn is_same(file: &File, named: nix::Result<FileStat>) -> bool {
    match (fstat(file), named) {
        (Ok(file), Ok(named)) => (file.st_dev, file.st_ino) == (named.st_dev, named.st_ino),
        (_, Err(Errno::ENOENT | Errno::ENOTDIR)) => false,
        _ => true,
    }
}
