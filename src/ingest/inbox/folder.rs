//! The directory and its files; everything here may block.
//!
//! Reads through `O_NOFOLLOW` only what belongs to us. Never writes to a file it
//! reads, and removes none.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc;

use super::cut::{self, Cut, LINE_BYTES_MAX, Reject};
use super::progress::{HEAD_BYTES, Identity, Inode, Progress};
use crate::protocol::envelope::Routing;

/// The file that producers append to.
const APPENDED: &str = "external.jsonl";

/// Bytes of one piece, unless its first line is longer.
const PIECE_BYTES: usize = 256 << 10;

/// Files looked at in one go; the next are looked at when some of these are
/// gone.
const FILES_MAX: usize = 1024;

/// How long a dropped file must not have changed before it is put away.
const CALM: Duration = Duration::from_secs(1);

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
}

/// What there is to be read.
#[derive(Debug)]
pub(super) struct Listing {
    /// By name.
    pub found: Vec<Found>,
    pub is_whole: bool,
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
    Caught { is_partial: bool, at: u64 },
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
            found.insert(name, inode(&meta));
            if found.len() > FILES_MAX {
                found.pop_last();
                is_whole = false;
            }
        }
        let found = found.into_iter();
        Ok(Listing {
            found: found.map(|(name, inode)| Found { name, inode }).collect(),
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
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Step::Gone),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Ok(Step::Refused("it is a symbolic link"));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Step::Refused("it may not be read"));
            }
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        if let Some(why) = refusal(&meta) {
            return Ok(Step::Refused(why));
        }
        let head = read(&file, 0, HEAD_BYTES).map_err(failed)?;
        let Some(identity) = Identity::new(inode(&meta), &head) else {
            let is_partial = !head.is_empty();
            return Ok(Step::Caught { is_partial, at: 0 });
        };
        let at = before.and_then(|b| b.resume(&identity, meta.len()));
        let at = at.unwrap_or(0);
        let cut = piece(&file, at, &identity, routing).map_err(failed)?;
        Ok(match cut {
            Some(cut) => {
                let (file, at) = (identity, cut.end);
                Step::Piece(cut, Progress { file, at })
            }
            None => Step::Caught {
                is_partial: at < meta.len(),
                at,
            },
        })
    }

    /// Puts away a file of which everything up to `at` was taken; not while
    /// somebody writes to it.
    pub(super) fn finish(&self, found: &Found, at: u64) -> Result<bool, FolderError> {
        let path = self.path.join(&found.name);
        let failed = |source| io_error("put away", &path, source);
        let file = open(&path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let age = meta.modified().map(|at| at.elapsed().unwrap_or(CALM));
        if inode(&meta) != found.inode || meta.len() != at || age.map_err(failed)? < CALM {
            return Ok(false);
        }
        let to = free_name(&self.done(), &found.name);
        fs::rename(&path, &to).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != at {
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

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // A fifo must not keep us waiting.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    options.read(true).custom_flags(flags).open(path)
}

fn is_wanted(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".jsonl") && !name.starts_with(b".")
}

fn refusal(meta: &Metadata) -> Option<&'static str> {
    if !meta.is_file() {
        return Some("it is no regular file");
    }
    let is_ours = meta.uid() == nix::unistd::geteuid().as_raw();
    (!is_ours).then_some("it belongs to another user")
}

fn inode(meta: &Metadata) -> Inode {
    let born = meta.created().ok();
    let born = born.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
    Inode {
        dev: meta.dev(),
        ino: meta.ino(),
        born: born.unwrap_or(0),
    }
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
