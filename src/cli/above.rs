//! Who could replace a directory of ours: whoever can write to one above it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::exit::{Exit, Failure};
use super::shell;

/// Files in a directory with this bit can be replaced by their owner only.
const STICKY: u32 = 0o1000;

/// Refuses `dir` if others could put another directory in its place: if a
/// directory above it, by name or in truth, can be written to by others.
pub(super) fn refuse_replaceable(dir: &Path) -> Result<(), Failure> {
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let mut above = dir.ancestors().skip(1).chain(real.ancestors().skip(1));
    let Some((open, mode)) = above.find_map(|above| Some((above, open_mode(above)?))) else {
        return Ok(());
    };
    let error = format!(
        "others can replace {}: they can write to {} (mode {mode:03o})",
        dir.display(),
        open.display()
    );
    let hint = format!(
        "chmod go-w {}, or choose another --base-dir",
        shell::path(open)
    );
    Err(Failure::new(Exit::Permission, error).hint(hint))
}

/// The mode of `dir` if others can replace what is in it.
fn open_mode(dir: &Path) -> Option<u32> {
    let mode = fs::metadata(dir).ok()?.mode() & 0o7777;
    (mode & 0o022 != 0 && mode & STICKY == 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn chmod(dir: &Path, mode: u32) {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_below_one_that_others_can_write_to_is_refused_at_any_depth() {
        let home = tempfile::tempdir().unwrap();
        let (open, below) = (home.path().join("open"), home.path().join("open/a/b"));
        fs::create_dir_all(&below).unwrap();
        for (mode, good) in [
            (0o755, true),
            (0o775, false),
            (0o757, false),
            (0o1777, true),
        ] {
            chmod(&open, mode);
            assert_eq!(refuse_replaceable(&below).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_as_safe_as_both_its_ends() {
        let home = tempfile::tempdir().unwrap();
        let (open, safe) = (home.path().join("open"), home.path().join("safe"));
        fs::create_dir_all(open.join("base")).unwrap();
        fs::create_dir_all(safe.join("base")).unwrap();
        chmod(&open, 0o777);
        chmod(&safe, 0o755);
        symlink(open.join("base"), safe.join("link")).unwrap();
        symlink(safe.join("base"), open.join("link")).unwrap();
        assert!(refuse_replaceable(&safe.join("link")).is_err());
        assert!(refuse_replaceable(&open.join("link")).is_err());
        assert!(refuse_replaceable(&safe.join("base")).is_ok());
    }
}
