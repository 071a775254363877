//! Which file a program of the configuration is: the one search of whoever
//! starts it and of whoever only looks whether it is there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where a bare name is looked for when no `PATH` is set at all.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(super) struct Search<'a> {
    /// Where paths start.
    pub(super) base: &'a Path,
    /// The directory of our own executable, which goes before `PATH`.
    pub(super) beside: Option<PathBuf>,
    /// `PATH`, as whoever is started has it.
    pub(super) path: Option<OsString>,
}

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// A bare name that is nowhere.
    #[error("there is no program {0} beside falco or in PATH")]
    Nowhere(String),
    /// A path that leads to nothing, or cannot be followed.
    #[error("{}: {source}", path.display())]
    Missing {
        path: PathBuf,
        source: std::io::Error,
    },
    /// What is there is no file.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// Nobody may run it.
    #[error("{} is not executable: chmod +x it", .0.display())]
    NotExecutable(PathBuf),
}

impl Search<'_> {
    /// A path from the base directory, or a name: beside us, then in `PATH`.
    /// What a path leads to is not looked at.
    pub(super) fn find(&self, program: &str) -> Result<PathBuf, ProgramError> {
        if program.contains('/') {
            return Ok(self.base.join(program));
        }
        let path = self.path.as_deref().unwrap_or(OsStr::new(USUAL_PATH));
        let path: Vec<_> = std::env::split_paths(path).collect();
        let mut files = self.beside.iter().chain(&path).map(|dir| dir.join(program));
        let found = files.find(|file| check(file).is_ok());
        found.ok_or_else(|| ProgramError::Nowhere(program.to_owned()))
    }

    /// Whether `program` could be started.
    pub(super) fn look(&self, program: &str) -> Result<(), ProgramError> {
        check(&self.find(program)?)
    }
}

/// Whether `file` is a program.
pub(super) fn check(file: &Path) -> Result<(), ProgramError> {
    let meta = fs::metadata(file).map_err(|source| ProgramError::Missing {
        path: file.to_path_buf(),
        source,
    })?;
    if !meta.is_file() {
        return Err(ProgramError::NoFile(file.to_path_buf()));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(ProgramError::NotExecutable(file.to_path_buf()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &Path, mode: u32) {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_name_is_looked_for_beside_us_and_then_in_the_path_and_must_be_executable() {
        let dir = tempfile::tempdir().unwrap();
        let [beside, one, two] = ["beside", "one", "two"].map(|name| dir.path().join(name));
        for place in [&beside, &one, &two] {
            fs::create_dir(place).unwrap();
        }
        let search = Search {
            base: dir.path(),
            beside: Some(beside.clone()),
            path: Some(std::env::join_paths([&one, &two]).unwrap()),
        };
        assert!(matches!(search.find("web"), Err(ProgramError::Nowhere(_))));
        write(&two.join("web"), 0o755);
        write(&one.join("web"), 0o644);
        fs::create_dir(beside.join("web")).unwrap();
        assert_eq!(search.find("web").unwrap(), two.join("web"));
        write(&beside.join("app"), 0o700);
        write(&one.join("app"), 0o700);
        assert_eq!(search.find("app").unwrap(), beside.join("app"));
    }

    #[test]
    fn a_path_starts_in_the_base_directory_and_says_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let search = Search {
            base: dir.path(),
            beside: None,
            path: None,
        };
        let looked = |program: &str| search.look(program).map_err(|e| e.to_string());
        let missing = looked("./web").unwrap_err();
        assert!(missing.contains("./web: No such file"), "{missing}");
        write(&dir.path().join("web"), 0o644);
        assert!(looked("./web").unwrap_err().contains("chmod +x"));
        write(&dir.path().join("web"), 0o755);
        assert_eq!(looked("./web"), Ok(()));
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(looked("./d").unwrap_err().contains("is no file"));
    }
}
