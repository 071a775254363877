//! One base directory, one instance: the lock, and what it says of its holder.
//!
//! The lock is an flock on `falco.lock`, held for the supervisor's life and
//! never unlinked; it belongs to the open file, so the launcher takes it and
//! hands the descriptor to the daemon. It is the only authority on whether an
//! instance runs. What the file says (and the pidfile, for people and old
//! tools) is what the last holder wrote: good for messages, never for deciding.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plain_file;
use crate::process::identity::Identity;

/// The first line of our pidfile's comment: by it we know the file is ours.
const PIDFILE_MARK: &str = "# falco";

/// What a holder of the lock is about: by that those who get no answer know
/// whether they should have got one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is the launcher, and the supervisor is about to be.
    Launching,
    /// It does not listen yet.
    Starting,
    /// It answers whoever asks.
    #[default]
    Up,
    /// It listens no more, and is about to be gone.
    Stopping,
}

impl Phase {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

/// What a holder of the lock writes of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process, for good.
    #[serde(flatten)]
    pub identity: Identity,
    /// New at every start.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// When it took the lock, in milliseconds since the epoch.
    pub since_ms: u64,
    /// What it was about when it wrote this.
    #[serde(default, skip_serializing_if = "Phase::is_up")]
    pub phase: Phase,
}

/// Why the lock could not be asked for.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be opened.
    #[error("failed to open lock {}", path.display())]
    Open {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system cannot lock.
    #[error("failed to lock {}: its file system may not support locks", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An inherited descriptor is no lock on this file.
    #[error("the inherited descriptor does not lock {}", path.display())]
    Foreign {
        /// The lock file.
        path: PathBuf,
    },
}

impl LockError {
    /// Whether it was for want of permission.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What came of asking for the lock.
#[derive(Debug)]
pub enum Asked {
    /// It is ours now.
    Ours(Lock),
    /// Somebody has it; this is what its holder wrote last, if anything.
    Held(Option<Holder>),
    /// There is not even a file: nothing ever ran here.
    Absent,
}

/// The instance lock, held until this and every copy of it is closed.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Asks for the lock at `path`, without waiting.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn ask(path: &Path) -> Result<Asked, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = open(path, &mut options)?;
        Self::taken(file.try_lock(), file, path)
    }

    /// As [`Self::ask`], for those who only want to know: makes no file, needs
    /// not to be allowed to write, and several may have what they get at once,
    /// so that they do not take each other for a chain.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn ask_existing(path: &Path) -> Result<Asked, LockError> {
        match open(path, OpenOptions::new().read(true)) {
            Ok(file) => Self::taken(file.try_lock_shared(), file, path),
            Err(LockError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Asked::Absent)
            }
            Err(error) => Err(error),
        }
    }

    fn taken(tried: Result<(), TryLockError>, file: File, path: &Path) -> Result<Asked, LockError> {
        match tried {
            Ok(()) => Ok(Asked::Ours(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(Asked::Held(read_holder(&file))),
            Err(TryLockError::Error(source)) => Err(LockError::Lock {
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// Takes over the lock that a launcher handed down.
    ///
    /// # Errors
    ///
    /// When `fd` is another file or does not hold the lock.
    pub fn inherited(fd: OwnedFd, path: &Path) -> Result<Self, LockError> {
        let file = File::from(fd);
        let same = || -> io::Result<bool> {
            let (ours, named) = (file.metadata()?, fs::metadata(path)?);
            Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
        };
        // Locking what this open file has locked already succeeds.
        if same().unwrap_or(false) && file.try_lock().is_ok() {
            return Ok(Self { file });
        }
        Err(LockError::Foreign {
            path: path.to_path_buf(),
        })
    }

    /// What its last holder wrote, if anything; to be asked once, before writing.
    #[must_use]
    pub fn last_holder(&self) -> Option<Holder> {
        read_holder(&self.file)
    }

    /// A descriptor to hand to the daemon; the lock lives while either lives.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Keeps the lock until the process ends: nobody takes over before the last
    /// of us is gone.
    pub fn keep(self) -> &'static mut Self {
        Box::leak(Box::new(self))
    }

    /// Writes who holds it.
    ///
    /// In one piece over what was there, so that nobody ever reads nothing:
    /// what is left of a longer line comes after the end of this one.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the lock is held all the same.
    pub fn record(&mut self, holder: &Holder) -> io::Result<()> {
        let mut line = serde_json::to_vec(holder)?;
        line.push(b'\n');
        self.file.write_all_at(&line, 0)?;
        self.file.set_len(line.len() as u64)
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<File, LockError> {
    let opened = plain_file::open_own(path, options.mode(0o600));
    opened.map_err(|source| LockError::Open {
        path: path.to_path_buf(),
        source,
    })
}

fn read_holder(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

/// The pidfile of a running supervisor; goes with it if it is still ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes `path`: the pid on the first line, for old tools, then a comment
    /// that says whose it is. To be called by the holder of the lock.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or is there and not of our making.
    pub fn write(path: &Path, holder: &Holder) -> io::Result<Self> {
        let old = match read(path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        if !is_ours(&old) {
            let text = "it was not written by falco; move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let who = serde_json::to_string(holder)?;
        let text = format!("{}\n{PIDFILE_MARK} {who}\n", holder.identity.pid);
        plain_file::replace_own(path, text.as_bytes())?;
        Ok(Self {
            path: path.to_path_buf(),
            text,
        })
    }
}

/// What a pidfile says; one that is no text is not of our making.
fn read(path: &Path) -> io::Result<String> {
    let bytes = plain_file::read(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a pidfile that says this is ours to replace and to remove. An empty one
/// is what a crash of the machine may leave of ours.
fn is_ours(text: &str) -> bool {
    text.is_empty() || text.contains(PIDFILE_MARK)
}

/// Whether what is at `path` is a pidfile of ours.
///
/// # Errors
///
/// When nothing is there ([`io::ErrorKind::NotFound`]), or it cannot be read.
pub fn is_own_pid_file(path: &Path) -> io::Result<bool> {
    read(path).map(|text| is_ours(&text))
}

/// Removes a pidfile that a killed supervisor left, and only one of ours. To be
/// called by the holder of the lock.
///
/// # Errors
///
/// When it is ours and cannot be removed.
pub fn clear_pid_file(path: &Path) -> io::Result<()> {
    if !is_own_pid_file(path).unwrap_or(false) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.path).is_ok_and(|text| text == self.text) {
            _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder {
            identity: Identity::own(),
            instance: "i".into(),
            version: "0".into(),
            since_ms: 1,
            phase: Phase::Starting,
        }
    }

    fn ours(path: &Path) -> Lock {
        match Lock::ask(path).unwrap() {
            Asked::Ours(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_holds_the_lock_and_the_others_learn_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.lock");
        let mut lock = ours(&path);
        assert!(matches!(Lock::ask(&path).unwrap(), Asked::Held(None)));
        lock.record(&holder()).unwrap();
        let Asked::Held(Some(who)) = Lock::ask(&path).unwrap() else {
            panic!("held");
        };
        assert_eq!(who, holder());
        let shorter = Holder {
            phase: Phase::Up,
            ..holder()
        };
        lock.record(&shorter).unwrap();
        let Asked::Held(Some(who)) = Lock::ask(&path).unwrap() else {
            panic!("held");
        };
        assert_eq!(who, shorter);
        drop(lock);
        ours(&path);
    }

    #[test]
    fn those_who_only_look_do_not_take_each_other_for_a_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.lock");
        assert!(matches!(Lock::ask_existing(&path).unwrap(), Asked::Absent));
        let lock = ours(&path);
        assert!(matches!(
            Lock::ask_existing(&path).unwrap(),
            Asked::Held(None)
        ));
        drop(lock);
        let one = Lock::ask_existing(&path).unwrap();
        let other = Lock::ask_existing(&path).unwrap();
        assert!(matches!((one, other), (Asked::Ours(_), Asked::Ours(_))));
        ours(&path);
    }

    #[test]
    fn a_lock_that_was_handed_down_outlives_the_launcher() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.lock");
        let launcher = ours(&path);
        let daemon = Lock::inherited(launcher.share().unwrap(), &path).unwrap();
        drop(launcher);
        assert!(matches!(Lock::ask(&path).unwrap(), Asked::Held(_)));
        drop(daemon);
        ours(&path);
    }

    #[test]
    fn another_file_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.lock");
        drop(ours(&path));
        let other = File::create(dir.path().join("other")).unwrap();
        assert!(Lock::inherited(other.into(), &path).is_err());
    }

    #[test]
    fn a_lock_that_is_a_symbolic_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.lock");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(Lock::ask(&path), Err(LockError::Open { .. })));
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn a_pidfile_goes_with_its_owner_and_only_if_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.pid");
        let file = PidFile::write(&path, &holder()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().next(),
            Some(std::process::id().to_string().as_str())
        );
        drop(file);
        assert!(!path.exists());

        let file = PidFile::write(&path, &holder()).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        drop(file);
        assert!(path.exists());
        assert!(PidFile::write(&path, &holder()).is_err());
        clear_pid_file(&path).unwrap();
        assert!(path.exists());

        fs::write(&path, "").unwrap();
        clear_pid_file(&path).unwrap();
        assert!(!path.exists());
    }
}
