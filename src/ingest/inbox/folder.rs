//! The directory: what is in it ([`listing`]), what is put away ([`away`]), what
//! is told of rejected lines ([`rejected`]). Everything here may block.
//!
//! Never writes to a file that others write, and removes none.

mod away;
mod listing;
mod rejected;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::file::{Document, Opened, Step};
use super::progress::Progress;
use crate::journal::Home;
use crate::protocol::envelope::Routing;

pub(super) use away::Finish;
pub(super) use listing::{Found, Listing};
pub(super) use rejected::Counted;

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
