//! `falco stop`: returns when everything is gone.

use std::os::unix::net::UnixListener;

use super::base::{Base, eventually, kill, said};
use super::suspended::{resume, suspend};

#[test]
fn stop_returns_when_every_process_and_socket_is_gone() {
    let base = Base::new();
    base.up();
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    base.assert_nothing_left();
    let order: Vec<_> = ["falco ", "transport ", "emulator ", "broker "]
        .iter()
        .map(|name| {
            said.stderr
                .find(&format!("  {name}"))
                .unwrap_or_else(|| panic!("{}", said.stderr))
        })
        .collect();
    assert!(order.is_sorted(), "last part first: {}", said.stderr);
}

#[test]
fn stopping_what_does_not_run_says_so_and_is_no_error() {
    let base = Base::new();
    let said = base.run(&["stop"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (0, "falco is not running\n")
    );
    assert_eq!(base.run(&["stop", "--strict"]).code, 3);
    assert!(!base.dir().exists(), "asking makes nothing");
}

#[test]
fn a_terminated_supervisor_stops_its_chain_in_order() {
    let base = Base::new();
    let pid = base.up();
    kill(pid, "TERM");
    eventually("everything is gone", || base.processes().is_empty());
    base.assert_nothing_left();
}

#[test]
fn stop_clears_what_a_killed_supervisor_left() {
    let base = Base::new();
    let pid = base.up();
    kill(pid, "KILL");
    eventually("the children are gone", || base.processes().is_empty());
    assert!(base.socket("falco.sock").exists());
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(!base.socket("falco.sock").exists());
    assert!(!base.socket("ably.sock").exists());
}

#[test]
fn a_transport_that_ignores_the_request_to_end_is_killed_with_its_children() {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let program = base.script(
        "stubborn",
        "trap '' TERM; \"$HOME/daemon-ably\" \"$@\" & while :; do sleep 1; done",
    );
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    base.up();
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("transport  killed"), "{}", said.stderr);
    base.assert_nothing_left();
}

#[test]
fn stop_now_spares_nobody() {
    let base = Base::new();
    base.up();
    suspend(base.pid_of("transport"));
    assert_eq!(base.run(&["stop", "--now"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn a_suspended_supervisor_is_named_and_only_killed_when_asked_to() {
    let base = Base::new();
    let pid = base.up();
    suspend(pid);
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains(&format!("pid {pid}")) && said.stderr.contains("--now"));
    assert_eq!(base.run(&["stop", "--now"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn a_suspended_supervisor_that_was_asked_to_stop_does_so_later_and_that_is_said() {
    let base = Base::new();
    let pid = base.up();
    suspend(pid);
    let said = base.run(&["stop"]);
    let later = "it stops once it goes on";
    assert!(
        said.code == 4 && said.stderr.contains(later),
        "{}",
        said.stderr
    );
    resume(pid);
    eventually("it stops", || base.run(&["status"]).code == 3);
    base.assert_nothing_left();
}

#[test]
fn a_chain_whose_lock_file_was_removed_is_stopped_all_the_same() {
    let base = Base::new();
    base.up();
    std::fs::remove_file(base.dir().join("falco.lock")).unwrap();
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    base.assert_nothing_left();

    base.up();
    std::fs::remove_file(base.dir().join("falco.lock")).unwrap();
    assert_eq!(base.run(&["up"]).code, 73, "its sockets are in use");
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
    base.up();
}

#[test]
fn a_stop_ends_when_the_next_chain_is_coming_up_already() {
    for _ in 0..5 {
        let base = Base::new();
        base.up();
        let stop = base
            .falco(&["stop"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let up = base.run(&["up", "-q"]);
        let said = said(&stop.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{}", said.stderr);
        // It was told to stop too, or it is up.
        assert!([0, 1].contains(&up.code), "{}", up.stderr);
    }
}

#[test]
fn a_socket_that_somebody_else_took_over_is_left_to_them() {
    let base = Base::new();
    base.up();
    let path = base.socket("falco.sock");
    std::fs::remove_file(&path).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    let gone = base.status()["sockets"]
        .as_array()
        .unwrap()
        .iter()
        .any(|s| s["in_place"] == false);
    assert!(gone);
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(path.exists());
    drop(theirs);
}
