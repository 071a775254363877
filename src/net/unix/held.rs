//! Sockets that have their path and do not listen: their owner is between `bind` and
//! `listen`, and whoever connects is refused as if there were none.
//!
//! Linux lists them in `/proc/net/unix`, by the path that was bound (proc(5)). What was
//! bound by a path from somewhere else (a relative one) is not known by that, nor is
//! anything elsewhere: there a refusal is all one learns.

use std::path::Path;

/// Whether a socket that does not listen has this path, as far as that can be told.
#[cfg(target_os = "linux")]
pub(super) fn is_held(path: &Path) -> bool {
    let table = std::fs::read("/proc/net/unix").unwrap_or_default();
    if lists(&table, path) {
        return true;
    }
    let resolved = path.parent().and_then(|parent| parent.canonicalize().ok());
    let resolved = resolved.zip(path.file_name());
    resolved.is_some_and(|(parent, name)| lists(&table, &parent.join(name)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_held(_: &Path) -> bool {
    false
}

/// Whether the table has a socket with this path that is not connected. Those that a
/// listener accepted have its path, too, and may outlive it.
#[cfg(target_os = "linux")]
fn lists(table: &[u8], path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    const STATE: usize = 5;
    const UNCONNECTED: &[u8] = b"01";
    let path = path.as_os_str().as_bytes();
    let mut lines = table.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let fields = line.strip_suffix(path);
        let Some(fields) = fields.and_then(|fields| fields.strip_suffix(b" ")) else {
            return false;
        };
        let mut fields = fields.split(|byte| *byte == b' ');
        let mut fields = fields.by_ref().filter(|field| !field.is_empty());
        // The seven fields before a path have no blanks.
        fields.nth(STATE) == Some(UNCONNECTED) && fields.count() == 1
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_its_whole_path_while_it_is_not_connected() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00000000 0001 01 4242 /run/a.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 4243 /run/b.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 01 4244 /run/with blanks/run/c.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 01 4245\n";
        let listed = |path: &str| lists(table, Path::new(path));
        assert!(listed("/run/a.sock"));
        assert!(listed("/run/with blanks/run/c.sock"));
        for other in ["/run/b.sock", "a.sock", "/run/c.sock", "/run", "4245", ""] {
            assert!(!listed(other), "{other}");
        }
    }
}
