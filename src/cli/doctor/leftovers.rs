//! What a chain that was killed left behind: sockets, a pidfile, processes.
//!
//! Only looked at, and put right, by whoever holds the instance lock: then no
//! chain runs and none can start meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory;
use super::finding::Finding;
use crate::cli::holder::lock_failure;
use crate::cli::{service, typed};
use crate::net::unix::{self, Probe};
use crate::paths::Paths;
use crate::process::identity::Fate;
use crate::process::lease;
use crate::report::Report;
use crate::supervisor::instance::{Asked, Holder, Lock, clear_pid_file, is_own_pid_file};

pub(super) fn examine(paths: &Paths, fix: bool) -> Vec<Finding> {
    match Lock::ask_existing(&paths.lock_file()) {
        Ok(Asked::Absent) => vec![Finding::ok("lock", "nothing ever ran here")],
        Ok(Asked::Held(who)) => vec![held(paths, who.as_ref())],
        Ok(Asked::Ours(_lock)) => {
            let mut found = vec![Finding::ok("lock", "free: nothing runs")];
            found.extend(files(paths, fix));
            found.extend(orphans(paths, fix));
            found.push(directory::logs(paths));
            found
        }
        Err(error) => {
            let fix = "see who may read it; choose a --base-dir on a local disk";
            vec![Finding::of("lock", &lock_failure(&error), fix)]
        }
    }
}

fn held(paths: &Paths, who: Option<&Holder>) -> Finding {
    let Some(who) = who else {
        return Finding::warn("lock", "held by a process that has not said who it is");
    };
    let (pid, stop) = (who.identity.pid, typed::falco(paths, "stop --now"));
    match who.identity.fate() {
        Fate::Alive => Finding::ok("lock", format!("held by pid {pid}")),
        Fate::Suspended => Finding::fail("lock", format!("held by pid {pid}, which is suspended"))
            .fix(format!("kill -CONT {pid}, or {stop}")),
        Fate::Gone => Finding::fail(
            "lock",
            format!("held, but pid {pid}, which took it, is gone"),
        )
        .fix(format!("{stop}; fuser names who has it")),
    }
}

fn files(paths: &Paths, fix: bool) -> Vec<Finding> {
    let mut found: Vec<_> = sockets(paths)
        .iter()
        .filter_map(|socket| left_socket(paths, socket, fix))
        .collect();
    found.extend(left_pid_file(paths, fix));
    if found.is_empty() {
        found.push(Finding::ok("left over", "no files"));
    }
    found
}

/// The sockets of a chain, and what a bind that was cut short left of them.
fn sockets(paths: &Paths) -> Vec<PathBuf> {
    let mut all = vec![
        paths.ably_socket(),
        paths.broker_socket(),
        paths.control_socket(),
    ];
    // systemd listens on its own: to ask who is there would start the chain.
    if !service::listens(paths) {
        all.push(paths.falco_socket());
    }
    let entries = fs::read_dir(paths.base());
    let entries = entries.into_iter().flatten().filter_map(Result::ok);
    all.extend(
        entries
            .map(|entry| entry.path())
            .filter(|path| is_temporary(path)),
    );
    all
}

/// Whether it is called as a socket is before it gets its name.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let digits = name.and_then(|name| name.strip_prefix('.'));
    digits.is_some_and(|digits| digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()))
}

fn left_socket(paths: &Paths, socket: &Path, fix: bool) -> Option<Finding> {
    let name = socket.file_name().unwrap_or_default().display().to_string();
    match unix::probe(socket) {
        Probe::Absent => None,
        Probe::NotASocket(_) if is_temporary(socket) => None,
        Probe::Stale { .. } if fix => Some(match unix::clear_stale(socket) {
            Ok(_) => Finding::ok("left over", format!("removed stale socket {name}")),
            Err(error) => Finding::fail("left over", Report(&error).to_string()),
        }),
        Probe::Stale { .. } => Some(
            Finding::warn("left over", format!("stale socket {name}")).fix(fix_or(paths, "up")),
        ),
        Probe::Live(peer) => {
            let who = peer.map_or(String::new(), |peer| format!(" ({peer})"));
            let text = format!("somebody that is no falco of ours has {name}{who}");
            Some(Finding::fail("left over", text).fix("stop it, or choose another --base-dir"))
        }
        Probe::NotASocket(kind) => {
            Some(Finding::fail("left over", format!("{name} is {kind}")).fix("move it away"))
        }
        Probe::Unknown(error) => Some(Finding::warn("left over", format!("{name}: {error}"))),
    }
}

fn left_pid_file(paths: &Paths, fix: bool) -> Option<Finding> {
    let file = paths.pid_file();
    let in_the_way = |text: String| Finding::fail("left over", text).fix("move it away");
    Some(match is_own_pid_file(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => in_the_way(format!("falco.pid cannot be read: {error}")),
        Ok(false) => in_the_way("falco.pid was not written by falco".into()),
        Ok(true) if !fix => Finding::warn("left over", "the pidfile of a chain that was killed")
            .fix(fix_or(paths, "up")),
        Ok(true) => match clear_pid_file(&file) {
            Ok(()) => Finding::ok("left over", "removed the pidfile"),
            Err(error) => {
                Finding::fail("left over", format!("failed to remove falco.pid: {error}"))
            }
        },
    })
}

/// What to type: a repair, or the verb that does it on its way.
fn fix_or(paths: &Paths, verb: &str) -> String {
    let falco = |verb| typed::falco(paths, verb);
    format!("{}, or {}", falco("doctor --fix"), falco(verb))
}

/// Processes that outlived their supervisor: the kernel says who holds a lease.
fn orphans(paths: &Paths, fix: bool) -> Vec<Finding> {
    if fix {
        return match lease::clear(&paths.run()) {
            Ok(ended) if ended.is_empty() => vec![Finding::ok("orphans", "none")],
            Ok(ended) => ended
                .iter()
                .map(|part| {
                    Finding::ok(
                        "orphans",
                        format!("ended {} (pid {})", part.name, list(&part.pids)),
                    )
                })
                .collect(),
            Err(error) => vec![Finding::fail("orphans", Report(&error).to_string())],
        };
    }
    let outlived = lease::outlived(&paths.run());
    let found: Vec<_> = outlived
        .iter()
        .map(|part| {
            let text = format!(
                "{} of a previous run still lives (pid {})",
                part.name,
                list(&part.pids)
            );
            Finding::fail("orphans", text).fix(fix_or(paths, "stop"))
        })
        .collect();
    if found.is_empty() {
        return vec![Finding::ok("orphans", "none")];
    }
    found
}

fn list(pids: &[u32]) -> String {
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    if pids.is_empty() {
        return "unknown".to_owned();
    }
    pids.join(", ")
}
