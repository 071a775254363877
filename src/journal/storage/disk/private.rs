//! That nobody else reads or writes what is there.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use tracing::warn;

use super::super::lock::LOCK;
use super::super::mark::ID;
use super::{io_error, listing};
use crate::journal::error::OpenError;
use crate::journal::segment;

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

/// Takes from others what they may do with our files, and refuses theirs. Nobody
/// else could enter the directory meanwhile: what a copy or an archive has left
/// open can be closed.
pub(super) fn make(directory: &File, path: &Path) -> Result<(), OpenError> {
    let entries = listing::entries(directory, "");
    let entries = entries.map_err(|errno| io_error("look at journal", path, errno.into()))?;
    for (name, stat) in entries {
        if !is_alike(&name) || !listing::is_file(&stat) {
            continue;
        }
        let path = path.join(&name);
        if stat.st_uid != nix::unistd::geteuid().as_raw() {
            if is_used(&name) {
                let reason = "it belongs to another user";
                return Err(OpenError::Insecure { path, reason });
            }
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

/// Whether a file called so is one that the journal reads or writes.
fn is_used(name: &str) -> bool {
    matches!(name, LOCK | ID | "reserve.bin") || segment::first_of(name).is_some()
}

/// Whether a file called so is the journal's, or was.
fn is_alike(name: &str) -> bool {
    is_used(name) || name.starts_with("seg-") || name.starts_with("next-")
}
