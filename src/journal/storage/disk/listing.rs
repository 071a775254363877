//! What is in a directory: the very one that is open, not what has its path by
//! now.

use std::fs::File;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

/// The directory itself.
const ITSELF: &str = ".";

fn within(folder: &str) -> &str {
    if folder.is_empty() { ITSELF } else { folder }
}

/// Every name that is text, and what has it; no link is followed.
pub(super) fn entries(directory: &File, folder: &str) -> nix::Result<Vec<(String, FileStat)>> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut opened = Dir::openat(directory, within(folder), how, Mode::empty())?;
    let mut names = Vec::new();
    for entry in opened.iter() {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        match fstatat(&opened, &*name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => entries.push((name, stat)),
            // Removed meanwhile.
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

pub(super) fn is_file(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
}

/// When a name was last given or taken there.
pub(super) fn changed(directory: &File, folder: &str) -> Option<SystemTime> {
    let stat = fstatat(directory, within(folder), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    let (secs, nanos) = (stat.st_mtime, stat.st_mtime_nsec);
    let secs = Duration::from_secs(u64::try_from(secs).ok()?);
    let nanos = Duration::from_nanos(u64::try_from(nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(secs + nanos)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_listed_is_in_the_directory_that_was_opened_wherever_that_is_now() {
        let base = tempfile::tempdir().expect("a directory");
        let [path, moved] = ["outbox", "moved"].map(|name| base.path().join(name));
        let names = |directory: &File, folder: &str| -> Vec<String> {
            let entries = entries(directory, folder).expect("listed").into_iter();
            entries.map(|(name, _)| name).collect()
        };
        fs::create_dir_all(path.join("quarantine")).expect("made");
        fs::write(path.join("quarantine/ours"), "").expect("written");
        let directory = File::open(&path).expect("there");
        let before = changed(&directory, "quarantine");
        fs::rename(&path, &moved).expect("moved");
        fs::create_dir_all(path.join("quarantine")).expect("made");
        fs::write(path.join("quarantine/theirs"), "").expect("written");

        assert_eq!(names(&directory, ""), ["quarantine"]);
        assert_eq!(names(&directory, "quarantine"), ["ours"]);
        assert_eq!(changed(&directory, "quarantine"), before);
        fs::remove_dir_all(&moved).expect("removed");
        assert_eq!(entries(&directory, "quarantine"), Err(Errno::ENOENT));
    }
}
