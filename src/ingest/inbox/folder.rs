//! The directory: what is in it, what is put away, what is told of rejected
//! lines. Everything here may block.
//!
//! Never writes to a file that others write, and removes none.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::cut::Reject;
use super::file::{Document, Opened, Step, inode};
use super::progress::{Inode, Progress};
use crate::protocol::envelope::Routing;

/// The file that producers append to.
const APPENDED: &str = "external.jsonl";

/// Files looked at in one go; the next are looked at when some of these are
/// gone.
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
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// A name in the inbox.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub name: OsString,
    pub inode: Inode,
    pub bytes: u64,
}

/// What there is to be read.
#[derive(Debug)]
pub(super) struct Listing {
    /// By name.
    pub found: Vec<Found>,
    pub is_whole: bool,
}

impl Found {
    /// Whether it stays where it is.
    pub(super) fn is_appended(&self) -> bool {
        self.name == APPENDED
    }
}

impl Folder {
    /// Makes what is missing, and checks that nobody else can drop anything.
    pub(super) fn open(path: PathBuf) -> Result<Self, FolderError> {
        let folder = Self { path };
        for path in [folder.path.clone(), folder.done(), folder.rejected()] {
            make(&path)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn done(&self) -> PathBuf {
        self.path.join("done")
    }

    fn rejected(&self) -> PathBuf {
        self.path.join("rejected")
    }

    /// The first of the files that are to be read, by name.
    pub(super) fn list(&self) -> Result<Listing, FolderError> {
        let failed = |source| io_error("list", &self.path, source);
        let mut found = BTreeMap::new();
        let mut is_whole = true;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !is_wanted(&name) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            found.insert(name, (inode(&meta), meta.len()));
            if found.len() > FILES_MAX {
                found.pop_last();
                is_whole = false;
            }
        }
        let found = found.into_iter();
        let found = found.map(|(name, (inode, bytes))| Found { name, inode, bytes });
        Ok(Listing {
            found: found.collect(),
            is_whole,
        })
    }

    /// Reads on in a file.
    pub(super) fn step(
        &self,
        found: &Found,
        before: Option<&Progress>,
        routing: &Routing,
    ) -> Result<Step, FolderError> {
        let path = self.path.join(&found.name);
        let failed = |source| io_error("read", &path, source);
        match Document::open(&path).map_err(failed)? {
            Opened::Gone => Ok(Step::Gone),
            Opened::Refused(why) => Ok(Step::Refused(why)),
            Opened::Open(document) => document
                .step(before, found.is_appended(), routing)
                .map_err(failed),
        }
    }

    /// Puts away a file of which everything up to `at` was taken; not while
    /// somebody writes to it.
    pub(super) fn finish(&self, found: &Found, at: u64) -> Result<bool, FolderError> {
        let path = self.path.join(&found.name);
        let failed = |source| io_error("put away", &path, source);
        let Opened::Open(document) = Document::open(&path).map_err(failed)? else {
            return Ok(false);
        };
        if document.inode != found.inode || document.bytes != at || !document.is_calm {
            return Ok(false);
        }
        let to = free_name(&self.done(), &found.name);
        fs::rename(&path, &to).map_err(failed)?;
        if document.bytes_now().map_err(failed)? != at {
            fs::rename(&to, &path).map_err(failed)?;
            return Ok(false);
        }
        for folder in [self.done(), self.path.clone()] {
            sync(&folder).map_err(failed)?;
        }
        Ok(true)
    }

    /// Writes down, for people, what was rejected; after a crash perhaps twice.
    pub(super) fn reject(&self, found: &Found, rejects: &[Reject]) -> Result<(), FolderError> {
        let path = self.rejected().join(&found.name);
        let failed = |source| io_error("write", &path, source);
        let mut text = Vec::new();
        for Reject { at, reason, line } in rejects {
            let line = String::from_utf8_lossy(line);
            let told = serde_json::json!({"offset": at, "reason": reason, "line": line});
            text.extend(format!("{told}\n").into_bytes());
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = options.custom_flags(flags).open(&path).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        sync(&self.rejected()).map_err(failed)
    }
}

fn is_wanted(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".jsonl") && !name.starts_with(b".")
}

/// A path in `folder` that nothing has yet.
fn free_name(folder: &Path, name: &OsStr) -> PathBuf {
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let numbered = (1u64..).map(|n| {
        let mut name = stem.to_owned();
        name.push(format!(".{n}.jsonl"));
        folder.join(name)
    });
    let mut all = std::iter::once(folder.join(name)).chain(numbered);
    let free = all.find(|path| path.symlink_metadata().is_err());
    free.unwrap_or_else(|| folder.join(name))
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
