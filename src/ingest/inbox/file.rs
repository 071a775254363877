//! One file of the inbox, as it is when it is looked at; everything here may
//! block.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use nix::libc;

use super::calm::Shape;
use super::cut::Cut;
use super::piece::{self, PIECE_BYTES, Piece};
use super::progress::{HEAD_BYTES, Identity, Inode, Progress};
use crate::protocol::envelope::Routing;

/// Why a directory, a fifo, a socket or a device is not read.
const NO_FILE: &str = "it is no regular file";

/// What is under a name.
pub(super) enum Opened {
    Gone,
    /// It will not be read.
    Refused(&'static str),
    Open(Document),
}

/// The next thing about a file.
#[derive(Debug)]
pub(super) enum Step {
    /// It is gone.
    Gone,
    /// It will not be read.
    Refused(&'static str),
    /// Lines, and how far they reach.
    Piece(Cut, Progress),
    /// There is no further line.
    Caught(Caught),
}

/// How far there are lines in a file.
#[derive(Debug)]
pub(super) struct Caught {
    /// Where the last of them ends.
    pub(super) at: u64,
    /// How many bytes are behind it.
    pub(super) rest: u64,
    /// It still looked as it did all the while before.
    pub(super) is_calm: bool,
}

/// An open file of ours.
pub(super) struct Document {
    file: File,
    pub(super) inode: Inode,
    pub(super) bytes: u64,
    /// Nobody has changed it for a while.
    pub(super) is_calm: bool,
}

impl Document {
    /// Opens what may be read, and follows no link. It is calm if it still looks
    /// as it did all the while before: like `calm`.
    pub(super) fn open(path: &Path, calm: Option<Shape>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        // A fifo must not keep us waiting.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match options.read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Ok(Opened::Refused("it is a symbolic link"));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Opened::Refused("it may not be read"));
            }
            Err(error) if is_of_a_socket(&error) => return Ok(Opened::Refused(NO_FILE)),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if let Some(why) = refusal(&meta) {
            return Ok(Opened::Refused(why));
        }
        Ok(Opened::Open(Self {
            file,
            inode: inode(&meta),
            bytes: meta.len(),
            is_calm: calm == Some(shape(&meta)),
        }))
    }

    /// How long it is by now.
    pub(super) fn bytes_now(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// How many names it has by now, wherever they are.
    pub(super) fn names(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.nlink())
    }

    /// How many lines end from `from` up to `to`.
    pub(super) fn lines_between(&self, mut from: u64, to: u64) -> io::Result<u64> {
        let mut lines = 0;
        while from < to {
            let left = usize::try_from(to - from).unwrap_or(usize::MAX);
            let bytes = piece::read(&self.file, from, left.min(PIECE_BYTES))?;
            if bytes.is_empty() {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            from += bytes.len() as u64;
        }
        Ok(lines)
    }

    /// What comes behind `before`. `may_grow` says that its last line is whole
    /// only with its LF.
    pub(super) fn step(
        &self,
        before: Option<&Progress>,
        may_grow: bool,
        routing: &Routing,
    ) -> io::Result<Step> {
        let (piece, file) = match self.go_on(before)? {
            Some(piece) => piece,
            None => self.top()?,
        };
        let lines = piece.lines(&self.file, &file, routing)?;
        let taken = match lines {
            None if may_grow || !self.is_calm => None,
            None => piece.last_line(self.bytes, &file, routing),
            lines => lines,
        };
        Ok(match taken {
            Some((cut, tail)) => {
                let (at, tail) = (cut.end, Some(tail));
                Step::Piece(cut, Progress { file, at, tail })
            }
            None => Step::Caught(Caught {
                at: piece.at,
                rest: self.bytes.saturating_sub(piece.at),
                is_calm: self.is_calm,
            }),
        })
    }

    /// What comes next, if what was taken is still there.
    fn go_on(&self, before: Option<&Progress>) -> io::Result<Option<(Piece, Identity)>> {
        let Some(before) = before.filter(|before| before.at <= self.bytes) else {
            return Ok(None);
        };
        let piece = Piece::read(&self.file, before.at)?;
        let file = self.identity(&piece::read(&self.file, 0, HEAD_BYTES)?);
        let is_same = before.tail.is_none_or(|tail| tail == piece.tail());
        Ok((file == before.file && is_same).then_some((piece, file)))
    }

    fn top(&self) -> io::Result<(Piece, Identity)> {
        let piece = Piece::read(&self.file, 0)?;
        let file = self.identity(piece.bytes());
        Ok((piece, file))
    }

    /// Which file begins like that.
    fn identity(&self, bytes: &[u8]) -> Identity {
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        // It may have grown since its length was asked for.
        let bytes = usize::try_from(self.bytes).unwrap_or(HEAD_BYTES);
        let short = &head[..head.len().min(bytes)];
        let known = Identity::new(self.inode, head);
        known.unwrap_or_else(|| Identity::of_line(self.inode, short))
    }
}

/// A socket cannot be opened; systems differ in how they say that.
fn is_of_a_socket(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENXIO | libc::EOPNOTSUPP | libc::ENODEV)
    )
}

fn refusal(meta: &Metadata) -> Option<&'static str> {
    if !meta.is_file() {
        return Some(NO_FILE);
    }
    let is_ours = meta.uid() == nix::unistd::geteuid().as_raw();
    (!is_ours).then_some("it belongs to another user")
}

/// What a write to the file changes.
pub(super) fn shape(meta: &Metadata) -> Shape {
    Shape {
        bytes: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
    }
}

/// What tells a file from every other of its directory.
pub(super) fn inode(meta: &Metadata) -> Inode {
    let born = meta.created().ok();
    let born = born.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
    Inode {
        ino: meta.ino(),
        born: born.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
