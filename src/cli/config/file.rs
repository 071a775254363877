//! `falco.toml` as bytes: read only if nobody else can have written it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::exit::{Exit, Failure};
use super::super::given_file::{self, Untrusted};
use super::super::shell;
use super::mistake::Place;

/// The text of the file and where it is; empty if there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) content: String,
    pub(super) exists: bool,
}

impl Text {
    /// Reads `path`; a file that is not there is an empty one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is too large, is no text, is not ours, or others
    /// could have written it: it names programs to run.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let file = match given_file::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !leads_nowhere(path) => {
                return Ok(Self::of(path, String::new(), false));
            }
            Err(error) => return Err(cannot_read(path, &error)),
        };
        check_writers(path, &file)?;
        let text = given_file::text(&file).map_err(|error| cannot_read(path, &error))?;
        Ok(Self::of(path, text, true))
    }

    pub(super) fn of(path: &Path, content: String, exists: bool) -> Self {
        Self {
            path: path.to_path_buf(),
            content,
            exists,
        }
    }

    /// Line and column of a byte, both counted from one; a column is a
    /// character.
    pub(super) fn place(&self, byte: usize) -> Place {
        let (line, column) = self.line_and_column(byte);
        Place::File {
            path: self.path.clone(),
            line,
            column,
        }
    }

    pub(super) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let mut end = byte.min(self.content.len());
        while !self.content.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.content[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

fn check_writers(path: &Path, file: &File) -> Result<(), Failure> {
    given_file::check_writers(file).map_err(|error| {
        let hint = match &error {
            Untrusted::Owner { own, .. } => format!("chown {own} {}", shell::path(path)),
            Untrusted::Mode { .. } => format!("chmod go-w {}", shell::path(path)),
            Untrusted::Io(error) => return cannot_read(path, error),
        };
        refused(path, &error.to_string()).hint(hint)
    })
}

/// A link that leads nowhere was meant to lead to a file.
fn leads_nowhere(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let text = format!("failed to read {}: {error}", path.display());
    Failure::new(Exit::Config, text)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Config, format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_no_missing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.toml");
        assert!(!Text::read(&path).unwrap().exists);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let failure = Text::read(&path).unwrap_err();
        assert_eq!(failure.exit(), Exit::Config);
    }

    #[test]
    fn a_byte_has_a_line_and_a_column_of_characters() {
        let text = Text::of(Path::new("f"), "a\nüb = 1\n".to_owned(), true);
        assert_eq!(text.line_and_column(0), (1, 1));
        assert_eq!(text.line_and_column(2), (2, 1));
        assert_eq!(text.line_and_column(4), (2, 2));
        assert_eq!(text.line_and_column(1000), (3, 1));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let text = Text::read(&dir.path().join("falco.toml")).unwrap();
        assert!(!text.exists && text.content.is_empty());
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("falco.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let failure = Text::read(&path).unwrap_err();
        assert_eq!(failure.exit(), Exit::Config);
        assert!(failure.to_string().contains("664"), "{failure}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Text::read(&path).is_ok());
    }
}
