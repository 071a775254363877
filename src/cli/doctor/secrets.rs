//! The files that hold secrets: whose they are, and who else can read them.
//!
//! None of them is opened. Only a file that falco itself made is put right.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::finding::Finding;
use crate::cli::config::Config;
use crate::cli::progress::tilde;
use crate::cli::shell;
use crate::paths::Paths;

const NAME: &str = "secrets";

/// A file with a secret in it.
pub(super) struct Secret {
    path: PathBuf,
    /// Whether falco made it.
    made: bool,
}

/// The files that there may be; the configuration names some.
pub(super) fn of(paths: &Paths, config: Option<&Config>) -> Vec<Secret> {
    let made = [paths.credentials_file(), paths.emulator().join("key")];
    let named = config.map(|config| &config.credentials);
    let named = named.map(|named| [&named.api_key_file, &named.token_bearer_file]);
    let named = named.into_iter().flatten().flatten().cloned();
    let made = made.map(|path| Secret { path, made: true });
    let named = named.map(|path| Secret { path, made: false });
    made.into_iter().chain(named).collect()
}

/// One finding for each file that is there.
pub(super) fn examine(secrets: &[Secret], fix: bool) -> Vec<Finding> {
    let look = |secret: &Secret| {
        // What falco made is no link; what somebody named may be one.
        let meta = if secret.made {
            fs::symlink_metadata(&secret.path)
        } else {
            fs::metadata(&secret.path)
        };
        Some(private(secret, &meta.ok()?, fix))
    };
    secrets.iter().filter_map(look).collect()
}

fn private(secret: &Secret, meta: &Metadata, fix: bool) -> Finding {
    let (path, place) = (&secret.path, tilde(&secret.path));
    let (mode, own) = (meta.mode() & 0o777, geteuid().as_raw());
    if !meta.is_file() {
        return Finding::fail(NAME, format!("{place} is no regular file")).fix("move it away");
    }
    if meta.uid() != own {
        let text = format!("{place} belongs to user {}, not to us ({own})", meta.uid());
        return Finding::warn(NAME, text).fix("see who put it there");
    }
    let others_may = mode & 0o077 != 0;
    if !others_may {
        return Finding::ok(NAME, format!("{place} ({mode:04o}, ours)"));
    }
    if fix && secret.made && close(path).is_ok() {
        return Finding::ok(NAME, format!("{place}: made it ours only (was {mode:04o})"));
    }
    let text = format!("{place} can be read or changed by others ({mode:04o})");
    Finding::fail(NAME, text).fix(format!("chmod 600 {}", shell::path(path)))
}

fn close(path: &Path) -> std::io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}
