//! Files that people wrote or named, read without trust: only those that nobody
//! else can write say what is done, and none is without end.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::plain_file;

pub(super) use crate::plain_file::open;

/// The largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;

/// Why a file may say what somebody else wants.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untrusted {
    /// It is somebody else's.
    #[error("belongs to user {uid}, not to us ({own})")]
    Owner {
        /// Theirs.
        uid: u32,
        /// Ours.
        own: u32,
    },
    /// Others have the right to write it.
    #[error("can be written by others (mode {:03o})", mode & 0o777)]
    Mode {
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Fails unless only we, or the administrator, can have written `file`.
///
/// # Errors
///
/// See [`Untrusted`].
pub(super) fn check_writers(file: &File) -> Result<(), Untrusted> {
    let meta = file.metadata()?;
    let (uid, mode) = (meta.uid(), meta.mode());
    let own = nix::unistd::geteuid().as_raw();
    if uid != own && uid != 0 {
        return Err(Untrusted::Owner { uid, own });
    }
    if mode & 0o022 != 0 {
        return Err(Untrusted::Mode { mode });
    }
    Ok(())
}

/// The whole text of a file.
///
/// # Errors
///
/// When it cannot be read, is larger than 1 MiB, or is no text.
pub(super) fn text(file: &File) -> io::Result<String> {
    let bytes = plain_file::bytes(file, BYTES_MAX)?;
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(bytes).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let read = || text(&open(&file).unwrap()).map_err(|error| error.to_string());
        std::fs::write(&file, vec![b'x'; 1024 * 1024]).unwrap();
        assert_eq!(read().unwrap().len(), 1024 * 1024);
        std::fs::write(&file, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert_eq!(read(), Err("it is larger than 1 MiB".to_owned()));
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(read(), Err("it is not UTF-8 text".to_owned()));
    }
}
