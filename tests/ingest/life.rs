//! Start, stop, and what is left behind.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use crate::falco::{Falco, PATIENCE};

#[test]
fn the_socket_is_private_accepts_before_the_transport_is_there_and_goes_at_the_end() {
    let falco = Falco::start();
    let socket = falco.socket();
    let mode = std::fs::metadata(&socket)
        .expect("socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let _daemon = falco.daemon();
    falco.terminate();
    let (status, _) = falco.wait();
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn stopping_answers_what_is_on_its_way_and_refuses_the_rest() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    let publish = |n| format!(r#"{{"type":"t","channel":"c","payload":{n}}}"#);
    daemon.send(1, &publish(1));
    let request = peer.read();
    daemon.send(2, &publish(2));
    assert!(peer.read_soon().is_none());
    falco.terminate();
    daemon.expect_failed(2, "shutting_down", "Falco is stopping");
    peer.accept(&request);
    daemon.expect_success(1);
    daemon.expect_end();
    let (status, _) = falco.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_transport_that_does_not_answer_delays_a_stop_only_so_long() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, r#"{"type":"t"}"#);
    let request = peer.read();
    assert_eq!(request.0["timeout_ms"], 60_000);
    let asked = std::time::Instant::now();
    falco.terminate();
    daemon.expect_failed(1, "shutting_down", "not answered");
    assert!(asked.elapsed() < Duration::from_secs(50));
    assert_eq!(falco.wait().0.code(), Some(0));
}

#[test]
fn a_second_falco_leaves_the_first_alone() {
    let falco = Falco::start();
    let base = falco.socket();
    let base = base.parent().expect("directory");
    let second = Command::new(env!("CARGO_BIN_EXE_falco"))
        .args(["--device-id", "d"])
        .env("UNBOUND_BASE_DIR", base)
        .output()
        .expect("runs");
    assert_eq!(second.status.code(), Some(1), "as the old one did");
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"));
    let mut daemon = falco.daemon();
    daemon.send(1, "{}");
    daemon.expect_failed(1, "rejected", "missing event");
}

#[test]
fn the_old_command_line_is_understood_and_errors_are_usage() {
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_falco"))
            .args(args)
            .output()
            .expect("runs")
    };
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(version.stdout.starts_with(b"falco "));
    assert_eq!(run(&["--device-id"]).status.code(), Some(2));
    assert_eq!(run(&["--device-id", " "]).status.code(), Some(2));
    assert_eq!(
        run(&["--device-id", "d", "--nonsense"]).status.code(),
        Some(2)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_closes_its_connection_is_forgotten_at_once() {
    let falco = Falco::start();
    let open = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", falco.pid()));
        fds.expect("fds").count()
    };
    let before = open();
    for n in 0..100 {
        falco.daemon().send(n, r#"{"type":"t"}"#);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while open() > before {
        assert!(std::time::Instant::now() < deadline, "sessions linger");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_falco_does_not_wake_up() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, r#"{"type":"t"}"#);
    let request = peer.read();
    peer.accept(&request);
    daemon.expect_success(1);
    // The last timer of that effect rings within its deadline, or a while later
    // where others have the processor.
    std::thread::sleep(Duration::from_millis(4700));
    let sleeps = |ms| {
        let before = switches(falco.pid());
        std::thread::sleep(Duration::from_millis(ms));
        switches(falco.pid()) == before
    };
    // Once it sleeps it sleeps on, for longer than from one ring to the next of
    // any timer that would matter.
    assert!((0..5).any(|_| sleeps(1500) && sleeps(4500)));
}

/// How often the process gave up the processor by itself.
#[cfg(target_os = "linux")]
fn switches(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status
        .lines()
        .find(|l| l.starts_with("voluntary_ctxt_switches"));
    let count = line.and_then(|l| l.split_whitespace().last());
    count.expect("a count").parse().expect("a number")
}
