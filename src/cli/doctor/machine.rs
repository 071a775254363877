//! What the machine gives: files, the kernel's means, the clock; and programs
//! that take the place of ours.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::finding::Finding;
use crate::clock;
use crate::process::features;

/// Fewer open files than this are soon used up: each daemon, each part and each
/// log needs some.
const FILES_MIN: u64 = 1024;

/// 1 January 2025, in milliseconds since the epoch: no clock is before it.
const PLAUSIBLE_FROM: u64 = 1_735_689_600_000;

/// Programs that are started in place of ours.
const PROGRAMS: &[&str] = &["FALCO_BINARY", "DAEMON_ABLY_BINARY", "NAGATO_BINARY"];

pub(super) fn examine() -> Vec<Finding> {
    let mut found = vec![files(), kernel(), plausible_clock()];
    found.extend(PROGRAMS.iter().filter_map(|name| program(name)));
    found
}

fn files() -> Finding {
    match features::open_files() {
        Some(files) if files < FILES_MIN => Finding::warn("open files", format!("{files} are few"))
            .fix(format!("ulimit -n {FILES_MIN}")),
        Some(files) => Finding::ok("open files", files.to_string()),
        None => Finding::warn("open files", "the limit could not be found out"),
    }
}

fn kernel() -> Finding {
    let (has, lacks): (Vec<_>, Vec<_>) = features::kernel().into_iter().partition(|(_, has)| *has);
    let names = |all: &[(&'static str, bool)]| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    if lacks.is_empty() {
        let text = format!("{} {}", std::env::consts::OS, names(&has));
        return Finding::ok("kernel", text.trim());
    }
    let text = format!("no {}: children that outlive us may stay", names(&lacks));
    Finding::warn("kernel", text)
        .fix("a kernel of 5.11 or later, or a container that lets these calls pass")
}

/// Ably's own clock is asked where there is an account, see `account`.
fn plausible_clock() -> Finding {
    let now = clock::now_ms();
    if now < PLAUSIBLE_FROM {
        return Finding::fail("clock", format!("it says {}", clock::utc(now)))
            .fix("set it: tokens would be refused");
    }
    Finding::ok("clock", format!("{}, which may be", clock::utc(now)))
}

fn program(variable: &'static str) -> Option<Finding> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty())?;
    let path = Path::new(&path);
    let runs = path
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let text = format!("{variable} is {}", path.display());
    Some(match (runs, variable) {
        (false, _) => Finding::fail("programs", format!("{text}, which is no program"))
            .fix(format!("unset {variable}, or mend it")),
        (true, "DAEMON_ABLY_BINARY") => {
            Finding::warn("programs", format!("{text}: the transport is not ours"))
        }
        (true, _) => Finding::ok("programs", text),
    })
}
