//! Files that people wrote or named, read without trust: one that is a pipe, a
//! device or without end is refused at once, and nobody waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;

/// Opens a regular file.
///
/// # Errors
///
/// When it cannot be opened or is something else.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // The open of a pipe would wait for somebody who writes.
    options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        let text = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(file)
}

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
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if BYTES_MAX < bytes.len() as u64 {
        return Err(invalid("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> io::Result<String> {
        text(&open(path)?)
    }

    #[test]
    fn a_pipe_and_a_file_without_bound_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = read(&pipe).unwrap_err().to_string();
        assert_eq!(error, "it is not a regular file");
        let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "it is not a regular file");

        let file = dir.path().join("file");
        std::fs::write(&file, vec![b'x'; 1024 * 1024]).unwrap();
        assert_eq!(read(&file).unwrap().len(), 1024 * 1024);
        std::fs::write(&file, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 1 MiB");
    }
}
