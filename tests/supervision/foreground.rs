//! `falco up --foreground`: stays until it is told to stop.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};

use super::base::{Base, PATIENCE, eventually, kill};
use super::waiting::with_deaf;

fn stay(base: &Base) -> Child {
    let mut child = base
        .falco(&["up", "--foreground"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|l| l.starts_with("ready in"));
    assert!(ready, "it ended before it was ready");
    child
}

#[test]
fn one_signal_stops_everything_in_order() {
    for signal in ["TERM", "INT", "HUP"] {
        let base = Base::new();
        let mut child = stay(&base);
        base.emit();
        kill(child.id(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        base.assert_nothing_left();
    }
}

#[test]
fn signals_that_whoever_started_it_had_blocked_stop_it_all_the_same() {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        blocked.add(signal);
    }
    let base = Base::new();
    // Children begin with the mask of the thread that starts them.
    blocked.thread_block().unwrap();
    let mut child = stay(&base);
    blocked.thread_unblock().unwrap();
    let transport = base.part("transport")["pid"].clone();
    let status = std::fs::read_to_string(format!("/proc/{transport}/status")).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    base.assert_nothing_left();
}

#[test]
fn a_second_signal_does_not_wait() {
    // It takes its whole grace, unless it is killed.
    let base = with_deaf("600s");
    let mut child = stay(&base);
    let began = Instant::now();
    kill(child.id(), "TERM");
    eventually("it stops", || base.status()["state"] == "stopping");
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < PATIENCE);
    base.assert_nothing_left();
}

#[test]
fn a_second_foreground_is_refused_by_name() {
    let base = Base::new();
    let mut child = stay(&base);
    let said = base.run(&["up", "--foreground"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains(&format!("pid {}", child.id())),
        "{}",
        said.stderr
    );
    assert_eq!(base.run(&["stop"]).code, 0);
    child.wait().unwrap();
}
