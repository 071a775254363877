//! Files of which everything was taken leave, and no others.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::libc;
use tracing::warn;
use uuid::Uuid;

use super::super::file::{Document, Opened, inode};
use super::{Folder, FolderError, Found, io_error, sync};

/// What came of putting a file away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Finish {
    /// It is still being written to, or another has its name.
    NotYet,
    /// It is nowhere else.
    Away,
    /// It has another name, which may be in the inbox, too: somebody linked it, or
    /// a kill came while it was given its name again.
    AwayFromHere,
}

impl Folder {
    /// Puts away a file of which everything up to `at` was taken; not while
    /// somebody writes to it.
    pub(in super::super) fn finish(&self, found: &Found, at: u64) -> Result<Finish, FolderError> {
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
        done_all_the_same(fs::rename(path, &aside), path, &aside)?;
        let leave = || {
            let is_it = inode(&aside.symlink_metadata()?) == document.inode;
            let is_taken = is_it && document.bytes_now()? == at;
            if is_taken {
                done_all_the_same(fs::rename(&aside, &to), &aside, &to)?;
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
}

/// What came of renaming `from`: a file system may have done what it says failed,
/// as one behind a network whose answer was lost. Only we have the name `to`.
fn done_all_the_same(renamed: io::Result<()>, from: &Path, to: &Path) -> io::Result<()> {
    let is_gone = |path: &Path| path.symlink_metadata().is_err();
    match renamed {
        Err(_) if is_gone(from) && !is_gone(to) => Ok(()),
        renamed => renamed,
    }
}

/// A path in `folder` that nothing has yet; shorter than it would be, where names
/// may not be so long.
fn free_name(folder: &Path, name: &OsStr) -> io::Result<PathBuf> {
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let mut stem = stem.to_owned().into_vec();
    if is_free(&folder.join(name))? {
        return Ok(folder.join(name));
    }
    loop {
        let numbered = |n: u64| {
            let name = [&stem[..], format!(".{n}.jsonl").as_bytes()].concat();
            folder.join(OsString::from_vec(name))
        };
        match free_number(|n| is_free(&numbered(n))) {
            Ok(n) => return Ok(numbered(n)),
            Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) && 1 < stem.len() => {
                pop_char(&mut stem);
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_free(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A number that is free behind one that is not, or 1: where nobody clears up,
/// there may be very many that are not.
fn free_number(is_free: impl Fn(u64) -> io::Result<bool>) -> io::Result<u64> {
    let mut free = 1;
    while !is_free(free)? {
        free *= 2;
    }
    let mut taken = free / 2;
    while taken + 1 < free {
        let between = taken.midpoint(free);
        if is_free(between)? {
            free = between;
        } else {
            taken = between;
        }
    }
    Ok(free)
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

#[cfg(test)]
mod tests;
