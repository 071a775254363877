//! `falco up --foreground`: stays until it is told to stop.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};

use super::base::{Base, PATIENCE, eventually, kill};
use super::waiting::with_deaf;

/// What a pipe is filled with.
const FILLING: [u8; 4096] = [b'.'; 4096];

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
    assert_eq!(ended(&mut child), Some(0));
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

/// A foreground whose messages go into a pipe that is full and that nobody
/// reads; it ends with the reader.
fn stay_unread(base: &Base) -> (Child, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    fill(&writer);
    let mut falco = base.falco(&["up", "--foreground"]);
    let child = falco.stderr(writer).spawn().unwrap();
    (child, reader)
}

/// Fills a pipe to its last byte.
fn fill(pipe: &PipeWriter) {
    // Opened anew: only our own writes do not wait.
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut pipe = options.open(path).unwrap();
    for len in [4096, 1] {
        while pipe.write(&FILLING[..len]).is_ok() {}
    }
}

#[test]
fn a_reader_that_hangs_holds_up_neither_supervision_nor_the_end() {
    let base = Base::new();
    let (mut child, _reader) = stay_unread(&base);
    base.wait_ready();
    let before = base.pid_of("transport");
    kill(before, "KILL");
    eventually("the transport is ready again", || {
        let part = base.part("transport");
        part["ready"] == true && part["pid"] != before
    });
    base.emit();
    kill(child.id(), "TERM");
    assert_eq!(ended(&mut child), Some(0));
    base.assert_nothing_left();
}

#[test]
fn a_reader_that_hangs_does_not_keep_a_start_that_fails() {
    let base = Base::configured("no_such_key = 1\n");
    let (mut child, _reader) = stay_unread(&base);
    assert_eq!(ended(&mut child), Some(78));
    base.assert_nothing_left();
}

#[test]
fn a_reader_that_comes_back_reads_everything_in_order() {
    let base = Base::new();
    let (mut child, reader) = stay_unread(&base);
    base.wait_ready();
    let reading = thread::spawn(move || io::read_to_string(reader).unwrap());
    kill(child.id(), "TERM");
    assert_eq!(ended(&mut child), Some(0));
    let text = reading.join().unwrap();
    let places = ["falco ", "ready in", "stopped"].map(|word| text.find(word));
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");
}

/// How it ended: with which code, if it did so by itself.
fn ended(child: &mut Child) -> Option<i32> {
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}
