//! That nobody else reads or writes what is there.

use std::fs::{File, Metadata, symlink_metadata};
use std::io::{Error, ErrorKind::NotADirectory};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat};
use tracing::warn;

use super::super::lock::LOCK;
use super::super::mark::ID;
use super::{io_error, listing};
use crate::journal::error::OpenError;
use crate::journal::segment;

/// Says what stands at `path`, if that is no directory: to open it would fail with
/// less. Nothing is no reason.
pub(super) fn check_kind(path: &Path) -> Result<(), OpenError> {
    let reason = match symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            "it is a link, which is not followed; put the directory itself there"
        }
        Ok(meta) if !meta.is_dir() => "it is no directory; move it away",
        _ => return Ok(()),
    };
    Err(io_error(
        "open journal",
        path,
        Error::new(NotADirectory, reason),
    ))
}

/// Whether the directory is its user's only.
pub(super) fn check(path: &Path, meta: &Metadata) -> Result<(), OpenError> {
    let insecure = |reason| OpenError::Insecure {
        path: path.to_owned(),
        reason,
    };
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(insecure("it belongs to another user"));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(insecure("others may enter it; chmod 700 it"));
    }
    Ok(())
}

/// Whether the files in it that are read or written are its user's.
pub(super) fn check_files(directory: &File, path: &Path) -> Result<(), OpenError> {
    for (name, stat) in files(directory, path)? {
        if is_used(&name) && is_of_another(&stat) {
            let (path, reason) = (path.join(&name), "it belongs to another user");
            return Err(OpenError::Insecure { path, reason });
        }
    }
    Ok(())
}

/// Takes from others what they may do with our files, and refuses theirs. Nobody
/// else could enter the directory meanwhile: what a copy or an archive has left
/// open can be closed.
pub(super) fn make(directory: &File, path: &Path) -> Result<(), OpenError> {
    check_files(directory, path)?;
    for (name, stat) in files(directory, path)? {
        let path = path.join(&name);
        if is_of_another(&stat) {
            warn!(path = %path.display(), "A file called like one of the journal's belongs to another user; it is not used.");
            continue;
        }
        if stat.st_mode & 0o077 != 0 {
            warn!(path = %path.display(), "A file of the journal was open to others; it is not any more.");
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let closed = fchmodat(directory, &*name, mode, FchmodatFlags::FollowSymlink);
            closed.map_err(|errno| io_error("close to others", &path, errno.into()))?;
        }
    }
    Ok(())
}

/// The files that are called like the journal's.
fn files(directory: &File, path: &Path) -> Result<Vec<(String, FileStat)>, OpenError> {
    let entries = listing::entries(directory, "");
    let mut files = entries.map_err(|errno| io_error("look at journal", path, errno.into()))?;
    files.retain(|(name, stat)| is_alike(name) && listing::is_file(stat));
    Ok(files)
}

fn is_of_another(file: &FileStat) -> bool {
    file.st_uid != nix::unistd::geteuid().as_raw()
}

/// Whether a file called so is one that the journal reads or writes.
fn is_used(name: &str) -> bool {
    matches!(name, LOCK | ID | "reserve.bin") || segment::first_of(name).is_some()
}

/// Whether a file called so is the journal's, or was.
fn is_alike(name: &str) -> bool {
    is_used(name) || name.starts_with("seg-") || name.starts_with("next-")
}
