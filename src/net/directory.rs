//! Tells when names in a directory come, go, or come to mean another file.
//!
//! On Linux the kernel tells, and waiting costs nothing; elsewhere the caller
//! is told to look every second.

use std::io;
use std::path::Path;

/// A directory that is watched.
#[derive(Debug)]
pub(crate) struct Directory(system::Directory);

impl Directory {
    /// Watches `path`, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When there is no such directory, or the system has no watch to give.
    pub(crate) fn watch(path: &Path) -> io::Result<Self> {
        system::Directory::watch(path, false).map(Self)
    }

    /// The same, and tells also when a file in it may have other content.
    ///
    /// # Errors
    ///
    /// As [`Self::watch`].
    pub(crate) fn watch_contents(path: &Path) -> io::Result<Self> {
        system::Directory::watch(path, true).map(Self)
    }

    /// Resolves when a name may have changed.
    ///
    /// # Errors
    ///
    /// When the directory itself is gone: nothing more will be told of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.0.changed().await
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::Handle;

    #[derive(Debug)]
    pub(super) struct Directory {
        /// There until it is dropped.
        open: Option<Open>,
    }

    #[derive(Debug)]
    struct Open {
        inotify: Inotify,
        /// The same descriptor, for waiting.
        readable: AsyncFd<OwnedFd>,
    }

    impl Drop for Directory {
        /// Closes it in another thread: the kernel waits some 20 ms until nobody
        /// can be about to tell us anything.
        fn drop(&mut self) {
            if let Some(Open { inotify, readable }) = self.open.take() {
                let same = readable.into_inner();
                let close = move || drop((inotify, same));
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn_blocking(close);
                }
            }
        }
    }

    impl Directory {
        pub(super) fn watch(path: &Path, contents: bool) -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let names =
                AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
            let itself = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
            let writes = if contents {
                AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE
            } else {
                AddWatchFlags::empty()
            };
            let all = names | itself | writes | AddWatchFlags::IN_ONLYDIR;
            inotify.add_watch(path, all)?;
            let readable = readable(inotify.as_fd().try_clone_to_owned()?)?;
            let open = Some(Open { inotify, readable });
            Ok(Self { open })
        }

        pub(super) async fn changed(&self) -> io::Result<()> {
            let over = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF;
            let Some(open) = &self.open else {
                return Err(io::ErrorKind::NotFound.into());
            };
            loop {
                let mut guard = open.readable.readable().await?;
                match open.inotify.read_events() {
                    Ok(events) if events.iter().any(|e| e.mask.intersects(over)) => {
                        return Err(io::ErrorKind::NotFound.into());
                    }
                    Ok(_) => return Ok(()),
                    Err(Errno::EAGAIN) => guard.clear_ready(),
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
    }

    #[allow(unsafe_code)]
    fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: an OwnedFd is open, and the same, until it is dropped.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }
}

#[cfg(not(target_os = "linux"))]
use looking as system;

/// Compiled for its tests on Linux, too.
#[cfg(any(not(target_os = "linux"), test))]
mod looking {
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    /// How long a change may go unnoticed.
    ///
    /// A look costs a few calls for each name that matters.
    const LOOK_AGAIN: Duration = Duration::from_secs(1);

    #[derive(Debug)]
    pub(super) struct Directory {
        path: PathBuf,
        id: (u64, u64),
    }

    impl Directory {
        pub(super) fn watch(path: &Path, _contents: bool) -> io::Result<Self> {
            std::fs::read_dir(path)?;
            let id = id(path)?;
            let path = path.to_path_buf();
            Ok(Self { path, id })
        }

        pub(super) async fn changed(&self) -> io::Result<()> {
            tokio::time::sleep(LOOK_AGAIN).await;
            if id(&self.path)? == self.id {
                return Ok(());
            }
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn id(path: &Path) -> io::Result<(u64, u64)> {
        let meta = std::fs::metadata(path)?;
        Ok((meta.dev(), meta.ino()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_name_that_goes_is_told_and_so_is_the_end_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("watched");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("name"), "").unwrap();
        let directory = Directory::watch(&inside).unwrap();
        fs::remove_file(inside.join("name")).unwrap();
        let changed = tokio::time::timeout(PATIENCE, directory.changed()).await;
        changed.unwrap().unwrap();
        fs::remove_dir(&inside).unwrap();
        let gone = async { while directory.changed().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        assert!(Directory::watch(&inside).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_looks_is_told_to_and_learns_that_the_directory_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("watched");
        fs::create_dir(&inside).unwrap();
        let directory = looking::Directory::watch(&inside, true).unwrap();
        directory.changed().await.unwrap();
        fs::rename(&inside, dir.path().join("moved")).unwrap();
        fs::create_dir(&inside).unwrap();
        directory.changed().await.unwrap_err();
    }
}
