//! Parts that die, and a supervisor that dies.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::base::{Base, assert_quick, eventually, kill, said};

#[test]
fn children_die_with_a_killed_supervisor_and_the_next_up_needs_no_help() {
    let base = Base::new();
    assert_quick(Duration::from_secs(1), || {
        let pid = base.up();
        kill(pid, "KILL");
        let killed = Instant::now();
        eventually("the children are gone", || base.processes().is_empty());
        killed.elapsed()
    });
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
fn nobody_gets_the_port_of_an_emulator_that_died_before_it_is_stopped() {
    let base = Base::new();
    base.up();
    let address = base.status()["emulator"]["address"].clone();
    let place = address.as_str().unwrap();
    for life in 1..=3 {
        let first = base.pid_of("emulator");
        kill(first, "KILL");
        eventually("it is back", || {
            let others = TcpListener::bind(place);
            assert!(others.is_err(), "its port was free after life {life}");
            let part = base.part("emulator");
            part["ready"] == true && part["pid"] != first
        });
    }
    assert_eq!(base.status()["emulator"]["address"], address);
    base.wait_ready();
    assert_eq!(base.run(&["stop", "emulator"]).code, 0);
    TcpListener::bind(place).expect("it is free");
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

#[test]
fn a_supervisor_killed_at_any_moment_of_its_start_leaves_no_process_and_no_trouble() {
    for delay_ms in [0, 5, 10, 20, 40, 80] {
        let base = Base::new();
        let up = base.falco(&["up"]).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        for (pid, line) in base.processes() {
            if line.contains("__daemon") {
                kill(pid, "KILL");
            }
        }
        up.wait_with_output().unwrap();
        base.run(&["stop"]);
        eventually("nothing is left", || base.processes().is_empty());
        base.up();
        base.emit();
    }
}

#[test]
fn a_supervisor_killed_at_any_moment_of_its_stop_leaves_no_process_and_no_trouble() {
    for delay_ms in [0, 2, 5, 10] {
        let base = Base::new();
        let pid = base.up();
        let stop = base
            .falco(&["stop"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        kill(pid, "KILL");
        assert!(stop.wait_with_output().unwrap().status.success());
        eventually("nothing is left", || base.processes().is_empty());
        base.up();
        base.emit();
    }
}

#[test]
fn a_stop_during_the_start_ends_it_and_says_so() {
    let base = Base::new();
    let program = base.script("daemon-ably", "sleep 1000");
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    let up = base.falco(&["up"]).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it starts", || base.status()["state"] == "starting");
    assert_eq!(base.run(&["stop"]).code, 0);
    let said = said(&up.wait_with_output().unwrap());
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("stopped while it was starting"),
        "{}",
        said.stderr
    );
    base.assert_nothing_left();
}
