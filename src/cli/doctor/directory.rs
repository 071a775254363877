//! The base directory and those in it: whose they are, who else can change them,
//! where they lie.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;

use super::finding::{Finding, Level};
use crate::cli::above::refuse_replaceable;
use crate::cli::progress::tilde;
use crate::cli::shell;
use crate::counted::counted;
use crate::paths::{Paths, SOCKET_PATH_MAX};
use crate::plain_file;

const NAME: &str = "base dir";

/// One of those in it.
const INNER: &str = "directory";

/// Fewer bytes than this are gone with the next line of a log.
const ROOM_MIN: u64 = 64 * 1024;

pub(super) fn examine(paths: &Paths, fix: bool) -> Vec<Finding> {
    let base = paths.base();
    let meta = match fs::metadata(base) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{} is not there yet; `falco up` makes it", tilde(base));
            return vec![Finding::ok(NAME, text), sockets(paths)];
        }
        Err(error) => return vec![Finding::fail(NAME, format!("{}: {error}", tilde(base)))],
    };
    let mut found = vec![private(NAME, base, &meta, fix)];
    found.extend(inner(paths, fix));
    if let Err(failure) = refuse_replaceable(base) {
        found.push(Finding::fail(NAME, failure.to_string()).fix("choose another --base-dir"));
    }
    found.push(file_system(base));
    found.extend(room(base));
    found.push(sockets(paths));
    found
}

/// What a start refuses of the directories it needs in it; the outbox says so itself.
fn inner(paths: &Paths, fix: bool) -> Vec<Finding> {
    let needed = [paths.logs(), paths.run(), paths.emulator()];
    let there = needed
        .iter()
        .filter_map(|at| Some((at, fs::metadata(at).ok()?)));
    there
        .filter(|(at, meta)| private(INNER, at, meta, false).level == Level::Fail)
        .map(|(at, meta)| private(INNER, at, &meta, fix))
        .collect()
}

fn private(name: &'static str, at: &Path, meta: &Metadata, fix: bool) -> Finding {
    let (place, mode) = (tilde(at), meta.mode() & 0o777);
    if !meta.is_dir() {
        let kind = plain_file::kind(meta.file_type());
        let text = format!("{place} is {kind}, not a directory");
        return Finding::fail(name, text).fix("move it away, or choose another --base-dir");
    }
    let own = geteuid().as_raw();
    if meta.uid() != own {
        let text = format!("{place} belongs to user {}, not to us ({own})", meta.uid());
        return Finding::fail(name, text).fix("choose another --base-dir");
    }
    let Some(wrong) = wrong(name, &place, mode, own) else {
        return Finding::ok(name, format!("{place} ({mode:04o}, ours)"));
    };
    if fix && fs::set_permissions(at, Permissions::from_mode(0o700)).is_ok() {
        return Finding::ok(name, format!("{place}: made it ours only (was {mode:04o})"));
    }
    wrong.fix(format!("chmod 700 {}", shell::path(at)))
}

/// What is wrong with the mode of a directory of ours, the worst first.
fn wrong(name: &'static str, place: &str, mode: u32, own: u32) -> Option<Finding> {
    if mode & 0o022 != 0 {
        let text = format!("others can write to {place} ({mode:04o})");
        return Some(Finding::fail(name, text));
    }
    // Root may whatever the mode says.
    if own != 0 && mode & 0o700 != 0o700 {
        let text = format!("{place} may not be used by its owner, us ({mode:04o})");
        return Some(Finding::fail(name, text));
    }
    let text = format!("others can look into {place} ({mode:04o})");
    (mode & 0o055 != 0).then(|| Finding::warn(name, text))
}

/// A disk that takes nothing or has no room; how little is too little for an
/// outbox it says itself.
#[allow(clippy::useless_conversion, reason = "narrower elsewhere")]
fn room(base: &Path) -> Option<Finding> {
    let stat = statvfs(base).ok()?;
    if stat.flags().contains(FsFlags::ST_RDONLY) {
        let text = format!("{} is on one that takes no writes", tilde(base));
        let fix = "mount it for writing, or choose another --base-dir";
        return Some(Finding::fail("disk", text).fix(fix));
    }
    let block = u64::from(stat.fragment_size());
    let free = u64::from(stat.blocks_available()).saturating_mul(block);
    let text = format!(
        "{} are left where {} is",
        counted(free, "byte"),
        tilde(base)
    );
    let fix = "make room: nothing can be kept, and a first start fails";
    (free < ROOM_MIN).then(|| Finding::fail("disk", text).fix(fix))
}

/// Locks and sockets need a file system of this machine that stays.
fn file_system(base: &Path) -> Finding {
    let name = "file system";
    match kind(base) {
        Some(Kind::Remote(kind)) => Finding::warn(
            name,
            format!("{kind}: locks and sockets may not work over a network"),
        )
        .fix("choose a --base-dir on a local disk"),
        Some(Kind::Passing(kind)) => Finding::warn(
            name,
            format!("{kind}: what is kept there is gone with the machine or container"),
        )
        .fix("choose a --base-dir on a disk, if something is to stay"),
        Some(Kind::Local) => Finding::ok(name, "local"),
        None => Finding::warn(name, "could not be found out"),
    }
}

enum Kind {
    Remote(&'static str),
    Passing(&'static str),
    Local,
}

#[cfg(target_os = "linux")]
fn kind(base: &Path) -> Option<Kind> {
    use nix::sys::statfs::{self, statfs};
    /// SMB by its later names; statfs(2) has them, libc has not.
    const SMB: [u64; 2] = [0xFE53_4D42, 0xFF53_4D42];
    let kind = statfs(base).ok()?.filesystem_type();
    if u64::try_from(kind.0).is_ok_and(|number| SMB.contains(&number)) {
        return Some(Kind::Remote("SMB"));
    }
    Some(match kind {
        statfs::NFS_SUPER_MAGIC => Kind::Remote("NFS"),
        statfs::SMB_SUPER_MAGIC => Kind::Remote("SMB"),
        statfs::TMPFS_MAGIC => Kind::Passing("tmpfs"),
        statfs::OVERLAYFS_SUPER_MAGIC => Kind::Passing("overlay"),
        _ => Kind::Local,
    })
}

#[cfg(not(target_os = "linux"))]
fn kind(base: &Path) -> Option<Kind> {
    let stat = nix::sys::statfs::statfs(base).ok()?;
    Some(match stat.filesystem_type_name() {
        "nfs" => Kind::Remote("NFS"),
        "smbfs" => Kind::Remote("SMB"),
        "afpfs" => Kind::Remote("AFP"),
        "tmpfs" => Kind::Passing("tmpfs"),
        _ => Kind::Local,
    })
}

/// How much the logs of a chain that does not run take; one that runs says so
/// itself.
pub(super) fn logs(paths: &Paths) -> Finding {
    let entries = fs::read_dir(paths.logs()).into_iter().flatten();
    let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    let bytes: u64 = files.filter(Metadata::is_file).map(|file| file.len()).sum();
    Finding::ok("logs", format!("{} MB", bytes.div_ceil(1_000_000)))
}

fn sockets(paths: &Paths) -> Finding {
    let longest = paths.control_socket().as_os_str().len();
    let text = format!("{longest} of {SOCKET_PATH_MAX} bytes");
    if longest <= SOCKET_PATH_MAX {
        return Finding::ok("socket path", text);
    }
    let fix = "choose a shorter --base-dir";
    if cfg!(target_os = "linux") {
        let text = format!("{text}: falco can, other programs may not connect to it");
        return Finding::warn("socket path", text).fix(fix);
    }
    Finding::fail("socket path", text).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::wrong;

    #[test]
    fn who_else_can_write_is_told_before_all_and_root_may_in_any_case() {
        let told = |mode, own| wrong("it", "it", mode, own).map(|found| (found.level, found.text));
        let fail = |text: &str| Some((Level::Fail, text.to_owned()));
        for own in [0, 1000] {
            assert_eq!(told(0o700, own), None);
            assert_eq!(told(0o577, own), fail("others can write to it (0577)"));
            assert_eq!(told(0o022, own), fail("others can write to it (0022)"));
            let look = Some((Level::Warn, "others can look into it (0755)".to_owned()));
            assert_eq!(told(0o755, own), look);
        }
        assert_eq!(told(0o500, 0), None);
        let unusable = "it may not be used by its owner, us (0500)";
        assert_eq!(told(0o500, 1000), fail(unusable));
    }
}
