//! A real directory: private, and locked while it is open.
//!
//! Everything in it is 0600 inside 0700 and belongs to the user the program
//! runs as: a file with another mode is given that one, one of another user that
//! is read or written is refused; a link in the way is refused, not followed.

mod filesystem;
mod listing;
mod private;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};
use tracing::warn;
use uuid::Uuid;

use super::lock::{self, LOCK};
use super::mark::Marked;
use super::place::{self, Home, is_same};
use super::{LaterSync, Listed, Space, Storage, StoredFile};
use crate::journal::error::OpenError;
use crate::plain_file;
use crate::report::Report;

/// A journal's directory: the very one that was opened, whatever its path comes
/// to mean. What somebody puts in its place is never written to.
#[derive(Debug)]
pub(in crate::journal) struct Disk {
    path: PathBuf,
    /// Every name is looked up in it.
    directory: File,
    /// Locked as long as this is open; `None` when only read.
    lock: Option<File>,
}

impl Disk {
    /// Makes the directory if there is none, checks that it is private, and
    /// locks it.
    ///
    /// Of one run only the directory that is its [`Home`].
    pub(in crate::journal) fn open(path: &Path, home: &Home) -> Result<Self, OpenError> {
        // Else one is made in the place of another.
        home.check()?;
        private::check_kind(path)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| io_error("make journal", path, source))?;
        let mut disk = Self::look(path)?;
        home.enter(path, &disk.directory)?;
        disk.lock = Some(lock::take(&disk.directory, path)?);
        private::make(&disk.directory, path)?;
        filesystem::warn_of(&disk.directory, path);
        Ok(disk)
    }

    /// Whether it could be opened, as far as owners, modes and kinds tell; changes
    /// nothing.
    pub(in crate::journal) fn examine(path: &Path) -> Result<(), OpenError> {
        let disk = Self::look(path)?;
        private::check_files(&disk.directory, path)
    }

    /// The directory, unlocked, to be read only.
    pub(in crate::journal) fn look(path: &Path) -> Result<Self, OpenError> {
        private::check_kind(path)?;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
            .open(path)
            .map_err(|source| io_error("open journal", path, source))?;
        let meta = directory
            .metadata()
            .map_err(|source| io_error("look at journal", path, source))?;
        private::check(path, &meta)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            lock: None,
        })
    }

    /// What the marks of `home` say of it, if there are any.
    pub(in crate::journal) fn marked(&self, home: &Home) -> Option<Marked> {
        Marked::look(home.marks()?, &self.path, &self.directory)
    }

    fn file(&self, name: &str, how: OFlag) -> io::Result<File> {
        let how = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = File::from(openat(&self.directory, name, how, mode)?);
        let is_file = file.metadata()?.is_file();
        is_file.then_some(file).ok_or_else(|| {
            let reason = "not a regular file";
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })
    }

    fn named(&self, name: &str) -> nix::Result<FileStat> {
        fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    OpenError::Io {
        doing,
        path,
        source,
    }
}

impl Storage for Disk {
    type File = File;

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        let entries = match listing::entries(&self.directory, folder) {
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            entries => entries?,
        };
        let listed = entries.into_iter().map(|(name, stat)| Listed {
            name,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            is_file: listing::is_file(&stat),
        });
        Ok(listed.collect())
    }

    fn changed(&self, folder: &str) -> Option<SystemTime> {
        listing::changed(&self.directory, folder)
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        match mkdirat(&self.directory, folder, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDONLY)
    }

    fn open_to_change(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDWR)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rename_new(&self.directory, from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        if folder.is_empty() {
            return self.directory.sync_all();
        }
        let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = openat(&self.directory, folder, how, Mode::empty())?;
        File::from(folder).sync_all()
    }

    #[allow(clippy::useless_conversion, reason = "narrower elsewhere")]
    fn space(&self) -> io::Result<Space> {
        let stat = fstatvfs(&self.directory)?;
        let block = u64::from(stat.fragment_size());
        Ok(Space {
            free: u64::from(stat.blocks_available()).saturating_mul(block),
            total: u64::from(stat.blocks()).saturating_mul(block),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn fresh_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn life(&self) -> u64 {
        lock::life()
    }

    fn astray(&mut self) -> Option<String> {
        if let Some(away) = place::away(&self.directory, &self.path) {
            return Some(away);
        }
        let lock = self.lock.as_ref()?;
        if is_same(lock, self.named(LOCK)) {
            return None;
        }
        match lock::take(&self.directory, &self.path) {
            Ok(lock) => {
                warn!(path = %self.path.display(), "The journal's lock was removed or replaced; it is locked again.");
                self.lock = Some(lock);
                None
            }
            Err(error) => Some(Report(&error).to_string()),
        }
    }

    fn is_at(&self, file: &File, name: &str) -> bool {
        is_same(file, self.named(name))
    }
}

/// Renames without replacing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_new(directory: &File, from: &str, to: &str) -> io::Result<()> {
    use nix::fcntl::{RenameFlags, renameat2};
    match renameat2(
        directory,
        from,
        directory,
        to,
        RenameFlags::RENAME_NOREPLACE,
    ) {
        // Not every filesystem can; see below.
        Err(Errno::EINVAL | Errno::ENOSYS) => rename_checked(directory, from, to),
        result => Ok(result?),
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_new(directory: &File, from: &str, to: &str) -> io::Result<()> {
    rename_checked(directory, from, to)
}

/// Nobody but the lock's holder makes names here, so looking first is enough.
fn rename_checked(directory: &File, from: &str, to: &str) -> io::Result<()> {
    match fstatat(directory, to, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::ENOENT) => Ok(renameat(directory, from, directory, to)?),
        Err(error) => Err(error.into()),
    }
}

impl StoredFile for File {
    type Sync = File;

    fn bytes(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    /// On macOS that is F_FULLFSYNC, through the drive's own cache: std says no
    /// less.
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn later_sync(&self) -> io::Result<File> {
        self.try_clone()
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        plain_file::reserve(self, bytes)
    }
}

impl LaterSync for File {
    fn sync(mut self) -> io::Result<()> {
        StoredFile::sync(&mut self)
    }
}
