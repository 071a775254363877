//! Some filesystems keep less than they promise.

use std::fs::File;
use std::path::Path;

use nix::sys::statfs::fstatfs;
use tracing::warn;

pub(super) fn warn_of(directory: &File, path: &Path) {
    if let Some(filesystem) = doubtful(directory) {
        warn!(path = %path.display(), filesystem, "The journal's filesystem may not keep what it has synced.");
    }
}

#[cfg(target_os = "linux")]
fn doubtful(directory: &File) -> Option<&'static str> {
    use nix::sys::statfs::{NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};
    let kind = fstatfs(directory).ok()?.filesystem_type();
    [
        (NFS_SUPER_MAGIC, "nfs"),
        (TMPFS_MAGIC, "tmpfs"),
        (OVERLAYFS_SUPER_MAGIC, "overlay"),
    ]
    .into_iter()
    .find_map(|(magic, name)| (magic == kind).then_some(name))
}

#[cfg(not(target_os = "linux"))]
fn doubtful(directory: &File) -> Option<&'static str> {
    let kind = fstatfs(directory).ok()?;
    let kind = kind.filesystem_type_name().to_owned();
    ["nfs", "smbfs", "webdav"]
        .into_iter()
        .find(|name| *name == kind)
}
