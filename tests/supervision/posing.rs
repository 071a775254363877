//! Pipes, directories and garbage in the place of our own files: every verb
//! answers all the same, and says which it is.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::base::Base;

/// Longer than any verb here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// Runs a verb, which ends in time; one that does not is killed.
fn bounded(base: &Base, args: &[&str]) -> i32 {
    let mut command = base.falco(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + BOUND;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if until < Instant::now() {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_waits_for_the_other_end_of_a_pipe_in_the_place_of_a_file() {
    for name in [
        "falco.lock",
        "falco.pid",
        "identity.json",
        "credentials.json",
        "emulator/key",
        "logs/falco.boot.log",
        "logs/falco.log",
        "logs/events.jsonl",
        "logs/transport.log",
        "run/transport.lease",
    ] {
        let base = Base::made();
        pipe(&base.socket(name));
        bounded(&base, &["up", "--timeout", "5"]);
        for args in [
            &["status"][..],
            &["doctor"],
            &["logs", "-n", "1"],
            &["events", "-n", "1"],
            &["outbox", "list"],
            &["stop", "--now"],
        ] {
            bounded(&base, args);
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_that_a_start_needs_is_named() {
    for name in [
        "falco.lock",
        "falco.pid",
        "identity.json",
        "credentials.json",
    ] {
        let base = Base::made();
        pipe(&base.socket(name));
        let said = base.run(&["up", "--timeout", "60"]);
        assert_ne!(said.code, 0, "{name}");
        assert_ne!(said.code, 75, "{name}: {}", said.stderr);
        assert!(said.stderr.contains(name), "{}", said.stderr);
    }
}

#[test]
fn what_is_kept_of_the_device_and_is_damaged_is_named_by_a_start_and_by_doctor() {
    let base = Base::made();
    fs::write(base.socket("identity.json"), b"\xff\xfe\x00").unwrap();
    let said = base.run(&["up"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert!(
        said.stderr.contains("identity.json is damaged"),
        "{}",
        said.stderr
    );
    let said = base.run(&["doctor"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.contains("identity.json is damaged"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_key_of_the_emulator_that_is_none_is_named_with_what_to_do() {
    let base = Base::made();
    fs::create_dir(base.socket("emulator")).unwrap();
    fs::write(base.socket("emulator/key"), b"\xff\xfe\x00").unwrap();
    let said = base.run(&["up"]);
    assert_ne!(said.code, 0);
    assert!(
        said.stderr.contains("remove it to have a new one made"),
        "{}",
        said.stderr
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_a_failure_also_of_a_help_page() {
    let base = Base::made();
    for args in [
        &["--help"][..],
        &["emit", "--help"],
        &["--version"],
        &["env"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = base.falco(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("failed to write output"), "{args:?}: {said}");
    }
}
