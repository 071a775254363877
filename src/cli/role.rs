//! Which program this is, by the name it was called by and its arguments.

use std::ffi::OsString;
use std::path::Path;

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `falco <verb>`.
    Verbs,
    /// `falco --device-id X` without a verb: the drop-in for the old `falco`.
    Serve,
    /// Called as `daemon-ably`.
    DaemonAbly,
    /// Called as `nagato`.
    Nagato,
}

/// The role that `args` (with the program's own name first) ask for.
///
/// The old `falco` has no verbs: if `--device-id` comes before the first word
/// that is no flag, it is meant.
pub(super) fn of(args: &[OsString]) -> Role {
    let name = args.first().map(Path::new).and_then(Path::file_name);
    match name.and_then(|n| n.to_str()) {
        Some("daemon-ably") => return Role::DaemonAbly,
        Some("nagato") => return Role::Nagato,
        _ => {}
    }
    let flags = args.iter().skip(1).map(|a| a.to_string_lossy());
    let mut flags = flags.take_while(|a| a.starts_with('-'));
    if flags.any(|a| a == "--device-id" || a.starts_with("--device-id=")) {
        Role::Serve
    } else {
        Role::Verbs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(line: &str) -> Role {
        of(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_name_decides_first() {
        assert_eq!(
            role("/opt/bin/daemon-ably --device-id d --user-id u"),
            Role::DaemonAbly
        );
        assert_eq!(role("nagato --device-id d"), Role::Nagato);
    }

    #[test]
    fn a_device_id_without_a_verb_is_the_old_falco() {
        assert_eq!(role("falco --device-id d"), Role::Serve);
        assert_eq!(role("falco --debug --device-id=d"), Role::Serve);
        assert_eq!(role("falco up --device-id d"), Role::Verbs);
        assert_eq!(role("falco --version"), Role::Verbs);
        assert_eq!(role("falco"), Role::Verbs);
    }
}
