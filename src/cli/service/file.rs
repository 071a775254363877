//! The files of a service: written whole or not at all, and only over our own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::exit::{Exit, Failure};

/// By this line we know a file as ours.
pub(super) const MARK: &str =
    "Made by falco service install; falco service uninstall takes it away.";

/// Whether there is a file of our making.
pub(super) fn is_ours(file: &Path) -> bool {
    ours(file).is_some()
}

/// What is in a file of our making.
pub(super) fn ours(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok();
    text.filter(|text| text.contains(MARK))
}

/// A file that was written, and what was there before.
pub(super) struct Written {
    file: PathBuf,
    before: Option<String>,
    pub(super) changed: bool,
}

/// Writes `text` to `file`, through a temporary one.
///
/// # Errors
///
/// Refuses a file that is there and not ours.
pub(super) fn write(file: &Path, text: &str) -> Result<Written, Failure> {
    let before = match fs::read_to_string(file) {
        Ok(before) if !before.contains(MARK) => return Err(foreign(file)),
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.is_symlink() => None,
        Err(error) => return Err(cannot("read", file, &error)),
    };
    let changed = before.as_deref() != Some(text);
    if changed {
        replace(file, text).map_err(|e| cannot("write", file, &e))?;
    }
    let file = file.to_path_buf();
    Ok(Written {
        file,
        before,
        changed,
    })
}

impl Written {
    /// Puts back what was there before.
    pub(super) fn undo(self) {
        let undone = match self.before {
            Some(before) => replace(&self.file, &before),
            None => fs::remove_file(&self.file),
        };
        // The failure that led here is the one to tell.
        _ = undone;
    }
}

/// Removes `file` if it is ours; whether it was there.
pub(super) fn remove(file: &Path) -> Result<bool, Failure> {
    if !file.exists() {
        return Ok(false);
    }
    if !is_ours(file) {
        return Err(foreign(file));
    }
    fs::remove_file(file).map_err(|e| cannot("remove", file, &e))?;
    Ok(true)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let temporary = file.with_extension("falco-new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    options.custom_flags(nix::libc::O_NOFOLLOW);
    let mut new = options.open(&temporary)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&temporary, file).inspect_err(|_| _ = fs::remove_file(&temporary))
}

fn foreign(file: &Path) -> Failure {
    let error = format!(
        "{} was not made by falco; it was left alone",
        file.display()
    );
    Failure::new(Exit::CannotCreate, error).hint("move it away, then try again")
}

fn cannot(doing: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::of_call(error, Exit::CannotCreate),
        format!("failed to {doing} {}: {error}", file.display()),
    )
}
