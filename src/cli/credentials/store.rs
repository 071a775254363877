//! `credentials.json`: what `falco login` keeps, and that `falco logout` was
//! here.
//!
//! Mode 0600 from birth, written beside the old one and moved over it, so that
//! a crash leaves one or the other. Holds a secret; only the broker's source
//! and a person's editor read it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::exit::{Exit, Failure};
use super::super::shell;
use crate::paths::Paths;
use crate::plain_file;

/// The largest file that is read: a bearer token may be a long JWT.
const BYTES_MAX: u64 = 256 * 1024;

/// What is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in super::super) enum Stored {
    /// An API key of Ably.
    ApiKey {
        /// Both halves.
        api_key: String,
    },
    /// A server that gives tokens.
    TokenEndpoint {
        /// Where it is.
        token_endpoint: String,
        /// What proves who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_bearer: Option<String>,
    },
    /// A command that prints tokens.
    TokenCommand {
        /// For `/bin/sh`.
        token_command: String,
    },
    /// Somebody logged out, and nobody has logged in since.
    LoggedOut,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Stored {
    /// What it is, for people.
    pub(in super::super) fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "API key",
            Self::TokenEndpoint { .. } => "token endpoint",
            Self::TokenCommand { .. } => "token command",
            Self::LoggedOut => "logged out",
        }
    }

    /// What is kept at `path`; `None` if nobody ever logged in or out.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, or others could have read it.
    pub(in super::super) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let file = match plain_file::open_own(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read", path, &error)),
        };
        check_private(path, &file)?;
        let read = plain_file::bytes(&file, BYTES_MAX);
        let text = read.map_err(|error| cannot("read", path, &error))?;
        // What serde says could quote the secret.
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            let text = format!("{} is damaged", path.display());
            let failure = Failure::new(Exit::Config, text);
            let Some(base) = path.parent() else {
                return failure;
            };
            // It is kept in the base directory itself.
            let hint = "`falco login` or `falco logout` writes it anew";
            failure.hint(hint).at(&Paths::new(base))
        })
    }

    /// Keeps it at `path`, in place of what was there.
    ///
    /// # Errors
    ///
    /// When the disk refuses; then what was there still is.
    pub(in super::super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let temporary = path.with_extension("json.new");
        let written = self.replace(path, &temporary);
        written.map_err(|error| {
            _ = fs::remove_file(&temporary);
            cannot("write", path, &error)
        })
    }

    fn replace(&self, path: &Path, temporary: &Path) -> io::Result<()> {
        // What a crash left there may have another mode.
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(temporary, path)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}

fn check_private(path: &Path, file: &File) -> Result<(), Failure> {
    let meta = file.metadata();
    let meta = meta.map_err(|error| cannot("read", path, &error))?;
    let own = nix::unistd::geteuid().as_raw();
    let others = meta.mode() & 0o077;
    if meta.is_file() && meta.uid() == own && others == 0 {
        return Ok(());
    }
    let text = format!("{} is not ours alone to read", path.display());
    let hint = format!(
        "chmod 600 {}; if others have read it, make a new key",
        shell::path(path)
    );
    Err(Failure::new(Exit::Config, text).hint(hint))
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let doing = format!("{doing} {}", path.display());
    Failure::to(Exit::of_call(error, Exit::CannotCreate), &doing, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key() -> Stored {
        Stored::ApiKey {
            api_key: "app.key:s3cret".to_owned(),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        assert_eq!(Stored::read(&path).unwrap(), None);
        for kept in [key(), Stored::LoggedOut] {
            kept.write(&path).unwrap();
            assert_eq!(Stored::read(&path).unwrap(), Some(kept));
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1, "a temporary file is left");
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        key().write(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = Stored::read(&path).unwrap_err();
        assert_eq!(failure.exit(), Exit::Config);
    }

    #[test]
    fn neither_a_log_nor_an_error_shows_the_secret() {
        assert!(!format!("{:?}", key()).contains("s3cret"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        key().write(&path).unwrap();
        fs::write(&path, r#"{"kind":"api_key","api_key":{"s3cret":1}}"#).unwrap();
        let failure = Stored::read(&path).unwrap_err();
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
}
