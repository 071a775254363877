//! What the journal asks of a disk, and no more: so that tests can lie to it.

mod disk;
mod lock;
#[cfg(any(test, fuzzing))]
pub(super) mod lying;
mod mark;
mod place;

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use uuid::Uuid;

pub(super) use disk::Disk;
pub(super) use mark::{Mark, Missed, Seen};
pub use place::Home;

/// The folder that keeps damaged bytes.
pub(super) const QUARANTINE: &str = "quarantine";

/// What stands in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Whether it is a plain file: no link, no directory.
    pub(super) is_file: bool,
}

/// The filesystem's sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) total: u64,
}

/// One directory. Names are relative to it; the only folder is
/// [`QUARANTINE`], the main directory is `""`.
pub(super) trait Storage: Send + 'static {
    /// An open file.
    type File: StoredFile;

    /// What is in `folder`, in no order; nothing if it does not exist.
    fn list(&self, folder: &str) -> io::Result<Vec<Listed>>;
    /// When `folder` was last given a name or lost one, if that can be told.
    fn changed(&self, folder: &str) -> Option<SystemTime>;
    /// Makes `folder` if there is none.
    fn make_folder(&self, folder: &str) -> io::Result<()>;
    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and changing.
    fn open_to_change(&self, name: &str) -> io::Result<Self::File>;
    /// Makes a file that must not exist.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file a name that must be free.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes what happened to names in `folder` durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    /// How much room there is.
    fn space(&self) -> io::Result<Space>;
    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// An id that nothing here ever had.
    fn fresh_id(&self) -> Uuid;
    /// Which life of the machine it is; 0 if nobody knows.
    fn life(&self) -> u64;
    /// What somebody else did to the directory or its lock since it was opened,
    /// if what is written here would not be found any more.
    fn astray(&mut self) -> Option<String>;
    /// Whether `name` still is this very file.
    fn is_at(&self, file: &Self::File, name: &str) -> bool;
}

/// An open file.
pub(super) trait StoredFile: Send {
    /// A sync that waits for a thread to do it.
    type Sync: LaterSync;

    /// Its length.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads some bytes at `offset`; none at its end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `bytes` at `offset`.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts it.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
    /// Makes its bytes and length durable. After an error nothing is known of
    /// what was written since the last success, and asking again tells lies.
    fn sync(&mut self) -> io::Result<()>;
    /// The same for what was written by now, to be done while more is written.
    fn later_sync(&self) -> io::Result<Self::Sync>;
    /// Takes `bytes` of disk space for it.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;
}

/// See [`StoredFile::later_sync`].
pub(super) trait LaterSync: Send + 'static {
    /// Does it, as [`StoredFile::sync`].
    fn sync(self) -> io::Result<()>;
}

/// Reads exactly `length` bytes at `offset`.
pub(super) fn read_exact<F: StoredFile>(
    file: &F,
    offset: u64,
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all<F: StoredFile>(file: &mut F, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
