//! The emulator's API key: random, made once, kept in a file of mode 0600.
//!
//! The file holds `appId.keyId:secret` and a newline. It is born with its mode
//! and under another name, so nobody ever reads a half of it, and a symbolic
//! link in its place is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::O_NOFOLLOW;
use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::plain_file;
use crate::protocol::ably::auth::{ApiKey, ApiKeyError};

/// A key file is one short line; more is not ours.
const FILE_BYTES_MAX: u64 = 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The directory cannot be made.
    #[error("failed to create {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is a file, and it cannot be read.
    #[error("failed to read the emulator's key at {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is none, and it cannot be written.
    #[error("failed to write the emulator's key at {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What is in the file is no key.
    #[error("{path} holds no API key; remove it to have a new one made")]
    Malformed {
        path: PathBuf,
        #[source]
        source: ApiKeyError,
    },
}

/// The key kept in `dir`, which is made together with it if there is none.
///
/// # Errors
///
/// See [`KeyError`].
pub(crate) fn load_or_create(dir: &Path) -> Result<ApiKey, KeyError> {
    let path = dir.join("key");
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|source| KeyError::Directory {
        path: dir.to_owned(),
        source,
    })?;
    match read(&path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = write_new(&path, &generate()).map_err(|source| KeyError::Write {
                path: path.clone(),
                source,
            })?;
            parse(path, &text)
        }
        Err(source) => Err(KeyError::Read { path, source }),
    }
}

fn parse(path: PathBuf, text: &str) -> Result<ApiKey, KeyError> {
    text.parse()
        .map_err(|source| KeyError::Malformed { path, source })
}

fn read(path: &Path) -> io::Result<String> {
    let file = plain_file::open_own(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    // What is no text is no key either.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes the key, or reads the one that somebody else wrote meanwhile.
fn write_new(path: &Path, text: &str) -> io::Result<String> {
    let draft = path.with_file_name(format!("key.{}.new", std::process::id()));
    let written = write_draft(&draft, text).and_then(|()| std::fs::hard_link(&draft, path));
    _ = std::fs::remove_file(&draft);
    match written {
        Ok(()) => Ok(text.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
    }
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    _ = std::fs::remove_file(draft);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(O_NOFOLLOW);
    let mut file: File = options.open(draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn generate() -> String {
    let mut rng = rand::rng();
    let mut random = |count| -> String {
        (&mut rng)
            .sample_iter(Alphanumeric)
            .take(count)
            .map(char::from)
            .collect()
    };
    format!("emu{}.{}:{}", random(3), random(6), random(32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("emulator");
        let key = load_or_create(&dir).expect("made");
        assert_eq!(load_or_create(&dir).expect("read").reveal(), key.reveal());
        let mode = |path: &Path| path.metadata().expect("exists").permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("key"))), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 1);
    }

    #[test]
    fn a_link_or_nonsense_in_its_place_is_refused_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::os::unix::fs::symlink("/etc/hostname", &path).expect("links");
        assert!(matches!(
            load_or_create(dir.path()),
            Err(KeyError::Read { .. })
        ));
        std::fs::remove_file(&path).expect("removes");
        std::fs::write(&path, "nonsense").expect("writes");
        assert!(matches!(
            load_or_create(dir.path()),
            Err(KeyError::Malformed { .. })
        ));
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "nonsense");
    }
}
