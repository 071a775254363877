//! A supervisor that has no descriptors left, because somebody leaks them.

use std::fs;
use std::os::unix::net::UnixStream;

use super::base::{Base, Said, eventually, kill, said};

/// How many files falco may have open.
const FILES: usize = 128;

/// Asked so often, and so impatiently, a part that is not asked for a moment is
/// ended at once if that counts.
const IMPATIENT: &str = "upstream = \"emulator\"\n[liveness]\nevery = \"100ms\"\nfailures = 1\n";

/// `falco up`, which may have so many files open.
fn up_with(base: &Base, files: usize) -> Said {
    let limited = format!("ulimit -n {files}; exec \"$0\" up --quiet");
    let falco = env!("CARGO_BIN_EXE_falco");
    let mut up = base.program("sh");
    said(&up.args(["-c", &limited, falco]).output().unwrap())
}

/// Brings the chain up with few descriptors; returns the supervisor's pid.
fn up_with_few_files(base: &Base) -> u32 {
    let up = up_with(base, FILES);
    assert_eq!(up.code, 0, "{}", up.stderr);
    base.pid_of_supervisor()
}

/// Connects until falco can open nothing more; those that wait to be accepted
/// take what becomes free.
fn leak(base: &Base, pid: u32) -> Vec<UnixStream> {
    let path = base.socket("falco.sock");
    let leaked = (0..FILES).map(|_| UnixStream::connect(&path).unwrap());
    let leaked = leaked.collect();
    let open = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    eventually("it has no descriptor left", || FILES <= open());
    leaked
}

fn log_says(base: &Base, all: &[&str]) -> bool {
    let log = fs::read_to_string(base.dir().join("logs/falco.log")).unwrap();
    log.lines()
        .any(|line| all.iter().all(|text| line.contains(text)))
}

#[test]
fn parts_that_falco_has_no_descriptors_to_ask_live_on() {
    let base = Base::configured(IMPATIENT);
    let pid = up_with_few_files(&base);
    let pids = || ["emulator", "transport"].map(|part| base.pid_of(part));
    let before = pids();
    let leaked = leak(&base, pid);
    for part in ["emulator", "transport"] {
        eventually("it is told that it cannot be asked", || {
            log_says(&base, &["cannot be asked", part, "ulimit -n"])
        });
    }
    drop(leaked);
    base.wait_ready();
    assert_eq!(pids(), before);
    base.emit();
}

#[test]
fn a_transport_that_dies_while_falco_has_no_descriptors_comes_back_when_it_has() {
    let base = Base::configured("upstream = \"emulator\"\n");
    let pid = up_with_few_files(&base);
    let first = base.pid_of("transport");
    let leaked = leak(&base, pid);
    kill(first, "KILL");
    eventually("it cannot be started", || {
        log_says(&base, &["Part ended", "transport", "Too many open files"])
    });
    drop(leaked);
    base.wait_ready();
    assert_ne!(base.pid_of("transport"), first);
    base.emit();
}

#[test]
fn a_start_that_may_open_too_few_files_says_how_many_and_what_to_raise() {
    // Too few to begin with, to ask for the lock, to start a supervisor.
    for files in 4..=16 {
        let base = Base::new();
        let said = up_with(&base, files);
        assert_eq!(said.code, 75, "{files}: {}", said.stderr);
        let error = format!("Too many open files (os error 24); {files} are all it may have");
        let (why, hint) = said.stderr.split_once("\nhint: ").unwrap();
        assert!(why.ends_with(&error), "{files}: {why}");
        for raise in ["ulimit -n", "LimitNOFILE=", "SoftResourceLimits"] {
            assert!(hint.contains(raise), "{files}: {hint}");
        }
        base.assert_nothing_left();
    }
}
