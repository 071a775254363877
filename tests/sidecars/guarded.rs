//! Programs of others that are guarded: what they are stays, and they end with
//! a supervisor that is killed.
//!
//! On by default on macOS alone; here it is switched on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{file, shell};
use crate::base::{Base, PATIENCE, assert_quick, eventually, kill};
use crate::suspended::suspend;

fn guarded(sidecars: &str) -> Base {
    Base::configured(&format!("guard = true\n{sidecars}"))
}

fn guards(base: &Base) -> Vec<u32> {
    let all = base.processes().into_iter();
    let guards = all.filter(|(_, line)| line.contains(" __guard -- "));
    guards.map(|(pid, _)| pid).collect()
}

fn pid_in(file: &Path) -> u32 {
    let mut pid = None;
    eventually("it wrote its pid", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some(None | Some('Z')))
}

/// Within this everybody is gone once the supervisor is.
const GONE: Duration = Duration::from_secs(1);

/// How long it takes until all of them are gone.
fn gone(pids: &[u32]) -> Duration {
    let since = Instant::now();
    while pids.iter().any(|pid| runs(*pid)) {
        let left: Vec<_> = pids.iter().filter(|pid| runs(**pid)).collect();
        assert!(
            since.elapsed() < PATIENCE,
            "of {pids:?} these are left: {left:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    since.elapsed()
}

#[test]
fn a_guarded_program_and_all_it_started_end_with_a_killed_supervisor() {
    let script = "trap '' TERM; sleep 1000 & echo $! > member; setsid sleep 1000 & echo $! > leaver; echo $$ > own; while :; do sleep 1; done";
    assert_quick(GONE, || {
        let base = guarded(&shell("web", script, ""));
        let supervisor = base.up();
        let all = ["member", "leaver", "own"].map(|name| pid_in(&file(&base, name)));
        let mut everybody = guards(&base);
        assert_eq!(everybody.len(), 1, "{everybody:?}");
        everybody.extend(all);
        assert!(everybody.iter().all(|pid| runs(*pid)));
        kill(supervisor, "KILL");
        gone(&everybody)
    });
}

#[test]
fn a_guarded_program_is_asked_before_it_is_killed() {
    let script = "exec 2>/dev/null; trap 'echo asked > asked; exit' TERM; echo $$ > own; while :; do sleep 0.01; done";
    let is_asked = || {
        let base = guarded(&shell("web", script, ""));
        let supervisor = base.up();
        let own = pid_in(&file(&base, "own"));
        kill(supervisor, "KILL");
        gone(&[own]);
        file(&base, "asked").exists()
    };
    // It has half a second, and a busy machine may not always let it have that.
    let asked = (0..5).filter(|_| is_asked());
    assert_eq!(asked.take(3).count(), 3);
}

#[test]
fn a_suspended_program_ends_with_the_supervisor_too() {
    assert_quick(GONE, || {
        let base = guarded(&shell("web", "echo $$ > own; exec sleep 1000", ""));
        let supervisor = base.up();
        let own = pid_in(&file(&base, "own"));
        suspend(own);
        kill(supervisor, "KILL");
        gone(&[own])
    });
}

#[test]
fn a_guarded_program_is_what_it_would_be_without() {
    let script = "ps -o pid=,ppid=,pgid=,sid= -p $$ > who; ls /proc/$$/fd > open; env > env; echo $$ > own; wait; exec sleep 1000";
    let base = guarded(&shell("web", script, ""));
    let supervisor = base.up();
    let own = pid_in(&file(&base, "own"));
    assert_eq!(base.pid_of("web"), own);
    let who = fs::read_to_string(file(&base, "who")).unwrap();
    let who: Vec<u32> = who.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert_eq!(who, [own, supervisor, own, own]);
    let open = fs::read_to_string(file(&base, "open")).unwrap();
    assert!(
        open.lines().count() <= 5,
        "the streams, the shell's copy of one, and the lease: {open}"
    );
    let env = fs::read_to_string(file(&base, "env")).unwrap();
    assert!(!env.contains("FALCO_LIFELINE_FD"), "{env}");
}

#[test]
fn codes_and_signals_of_a_guarded_program_are_told_as_they_are() {
    let ends = |name: &str, script: &str| {
        shell(
            name,
            script,
            "restart = { when = \"never\" }\nreadiness = { runs = \"1ms\" }",
        )
    };
    let script = "until test -e go; do sleep 0.01; done; ";
    let sidecars = [
        ends("code", &format!("{script} exit 42")),
        ends("signal", &format!("{script} kill -SEGV $$")),
    ];
    let base = guarded(&sidecars.concat());
    base.up();
    fs::write(file(&base, "go"), "").unwrap();
    for (part, exit) in [("code", "exit 42"), ("signal", "signal SEGV")] {
        let log = file(&base, &format!("logs/{part}.log"));
        eventually(exit, || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains(exit))
        });
    }
    eventually("their guards are gone", || guards(&base).is_empty());
}

#[test]
fn a_guarded_program_says_by_descriptor_and_notice_that_it_is_ready() {
    let line = "echo '{}' > /dev/fd/$FALCO_READY_FD; exec sleep 1000";
    let descriptor = shell("descriptor", line, "readiness = { descriptor = true }");
    let notice = "import os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\ntime.sleep(1000)";
    let notice = super::python("notice", notice, "readiness = { notify = true }");
    let base = guarded(&format!("{descriptor}{notice}"));
    base.up();
}

#[test]
fn a_stop_takes_the_guard_along_and_leaves_no_zombie() {
    let script = "echo $$ > own; exec sleep 1000";
    let base = guarded(&shell("web", script, ""));
    let supervisor = base.up();
    let own = pid_in(&file(&base, "own"));
    assert_eq!(guards(&base).len(), 1);
    assert_eq!(base.run(&["stop", "web"]).code, 0);
    assert!(!runs(own));
    eventually("nobody waits to be reaped", || {
        let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).unwrap();
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let children: Vec<u32> = children
            .flat_map(|text| {
                text.split_whitespace()
                    .map(|n| n.parse().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect();
        children.iter().all(|pid| runs(*pid)) && guards(&base).is_empty()
    });
    assert_eq!(base.run(&["restart", "web"]).code, 0);
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn a_guarded_program_that_cannot_be_run_is_told_and_not_tried_again() {
    let more = "[[sidecar]]\nname = \"web\"\ncommand = \"not-there\"\nrequired = true\n";
    let base = guarded(&more.replace("not-there", "./not-there"));
    let said = base.run(&["up"]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("failed to run"), "{}", said.stderr);
    assert!(said.stderr.contains("not-there"), "{}", said.stderr);
    base.assert_nothing_left();
}
