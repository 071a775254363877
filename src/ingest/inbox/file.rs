//! One file of the inbox, as it is when it is looked at; everything here may
//! block.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use nix::libc;

use super::calm::Shape;
use super::cut::{self, Cut, LINE_BYTES_MAX, Reject};
use super::progress::{HEAD_BYTES, Identity, Inode, Progress, TAIL_BYTES, Tail};
use crate::protocol::envelope::Routing;

/// Bytes of one piece, unless its first line is longer.
const PIECE_BYTES: usize = 256 << 10;

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
    /// There is no further line up to `at`, and `rest` bytes behind it.
    Caught { at: u64, rest: u64 },
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

    /// How many lines end from `from` up to `to`.
    pub(super) fn lines_between(&self, mut from: u64, to: u64) -> io::Result<u64> {
        let mut lines = 0;
        while from < to {
            let left = usize::try_from(to - from).unwrap_or(usize::MAX);
            let bytes = read(&self.file, from, left.min(PIECE_BYTES))?;
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
        let head = read(&self.file, 0, HEAD_BYTES)?;
        let known = Identity::new(self.inode, &head);
        // It may have grown since its length was asked for.
        let short = &head[..head
            .len()
            .min(usize::try_from(self.bytes).unwrap_or(HEAD_BYTES))];
        let identity = known.unwrap_or_else(|| Identity::of_line(self.inode, short));
        let at = self.resume(before, &identity)?.unwrap_or(0);
        let cut = match known {
            Some(identity) => piece(&self.file, at, &identity, routing)?,
            None => None,
        };
        let cut = match cut {
            None if may_grow || !self.is_calm => None,
            None => self.last(at, &identity, routing)?,
            cut => cut,
        };
        Ok(match cut {
            Some(cut) => {
                let (file, at) = (identity, cut.end);
                let tail = Some(self.tail(at)?);
                Step::Piece(cut, Progress { file, at, tail })
            }
            None => Step::Caught {
                at,
                rest: self.bytes.saturating_sub(at),
            },
        })
    }

    /// Where to go on, if what was taken is still there.
    fn resume(&self, before: Option<&Progress>, file: &Identity) -> io::Result<Option<u64>> {
        let Some(before) = before else {
            return Ok(None);
        };
        let Some(at) = before.resume(file, self.bytes) else {
            return Ok(None);
        };
        let is_same = match before.tail {
            Some(tail) => tail == self.tail(at)?,
            None => true,
        };
        Ok(is_same.then_some(at))
    }

    /// The bytes just before `at`.
    fn tail(&self, at: u64) -> io::Result<Tail> {
        let begin = at.saturating_sub(TAIL_BYTES as u64);
        let length = usize::try_from(at - begin).unwrap_or(TAIL_BYTES);
        Ok(Tail::of(&read(&self.file, begin, length)?))
    }

    /// What stands behind the last LF, if that is all there will be.
    fn last(&self, at: u64, file: &Identity, routing: &Routing) -> io::Result<Option<Cut>> {
        let rest = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        if rest == 0 || LINE_BYTES_MAX < rest {
            return Ok(None);
        }
        let bytes = read(&self.file, at, rest)?;
        Ok(cut::cut_last(&bytes, at, file, routing))
    }
}

/// The next lines from `at` on, if there is a whole one.
fn piece(file: &File, at: u64, identity: &Identity, routing: &Routing) -> io::Result<Option<Cut>> {
    for bytes_max in [PIECE_BYTES, LINE_BYTES_MAX + 1] {
        let bytes = read(file, at, bytes_max)?;
        if memchr::memchr(b'\n', &bytes).is_some() {
            return Ok(Some(cut::cut(&bytes, at, identity, routing)));
        }
        if bytes.len() < bytes_max {
            return Ok(None);
        }
    }
    let end = line_end(file, at + LINE_BYTES_MAX as u64)?;
    Ok(end.map(|end| {
        let reason = format!(
            "the line has {} bytes and the limit is {LINE_BYTES_MAX}",
            end - at
        );
        Cut {
            lines: Vec::new(),
            rejects: vec![Reject::new(at, reason, b"")],
            end: end + 1,
        }
    }))
}

fn line_end(file: &File, mut at: u64) -> io::Result<Option<u64>> {
    loop {
        let bytes = read(file, at, PIECE_BYTES)?;
        if let Some(offset) = memchr::memchr(b'\n', &bytes) {
            return Ok(Some(at + offset as u64));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        at += bytes.len() as u64;
    }
}

/// Up to `bytes_max` bytes; fewer at the end only.
fn read(file: &File, at: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes_max];
    let mut length = 0;
    while length < bytes_max {
        match file.read_at(&mut bytes[length..], at + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
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
