//! Parts that die, and a supervisor that dies.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::base::{Base, eventually, kill};

#[test]
fn children_die_with_a_killed_supervisor_and_the_next_up_needs_no_help() {
    let base = Base::new();
    let pid = base.up();
    kill(pid, "KILL");
    eventually("the children are gone", || base.processes().is_empty());
    let said = base.run(&["up"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("removed stale socket"),
        "{}",
        said.stderr
    );
    base.emit();
}

#[test]
fn a_killed_transport_comes_back_and_falco_keeps_its_socket() {
    let base = Base::new();
    base.up();
    let inode = || fs::metadata(base.socket("falco.sock")).unwrap().ino();
    let (before, first) = (inode(), base.pid_of("transport"));
    kill(first, "KILL");
    eventually("it is another process", || {
        let part = base.part("transport");
        part["ready"] == true && part["pid"] != first
    });
    assert_eq!(inode(), before);
    let part = base.part("transport");
    assert_eq!(part["restarts"], 1);
    assert_eq!(part["last_exit"]["signal"], 9);
    base.emit();
}

#[test]
fn a_killed_emulator_comes_back_with_its_key_and_the_chain_heals() {
    let base = Base::new();
    base.up();
    let key = || fs::read(base.dir().join("emulator/key")).unwrap();
    let (before, first) = (key(), base.pid_of("emulator"));
    kill(first, "KILL");
    eventually("it is another process", || {
        let part = base.part("emulator");
        part["ready"] == true && part["pid"] != first
    });
    assert_eq!(key(), before);
    base.wait_ready();
    eventually("effects are published again", || {
        base.run(&["emit", "--event", "hello", "--payload", "{}"])
            .code
            == 0
    });
}

#[test]
fn no_child_holds_the_lock_of_a_dead_supervisor() {
    let base = Base::new();
    let pid = base.up();
    for part in ["transport", "emulator"] {
        let fds = fs::read_dir(format!("/proc/{}/fd", base.pid_of(part))).unwrap();
        let files: Vec<_> = fds
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
            .collect();
        assert!(
            !files.iter().any(|f| f.ends_with("falco.lock")),
            "{files:?}"
        );
    }
    kill(pid, "KILL");
}

#[test]
fn no_secret_is_in_the_arguments_or_the_environment_of_our_children() {
    let base = Base::new();
    base.up();
    let key = fs::read_to_string(base.dir().join("emulator/key")).unwrap();
    let secret = key.trim().rsplit_once(':').unwrap().1.to_owned();
    for part in ["transport", "emulator"] {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{file}", base.pid_of(part))).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(
                !text.contains(&secret) && !text.contains("BROKER_TOKEN"),
                "{part} {file}: {text}"
            );
        }
    }
}
