//! A stop that takes its time says who it waits for, how long at most, and can
//! be hurried.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::base::{Base, PATIENCE, assert_quick, eventually, kill, said};
use super::suspended::{resume, suspend};

/// A chain with a sidecar that is deaf to the request to end, for `grace`.
pub fn with_deaf(grace: &str) -> Base {
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    Base::configured(&format!(
        "[[sidecar]]\nname = \"deaf\"\ncommand = \"sh\"\nargs = [\"-c\", '''{deaf}''']\n\
         readiness = {{ line = \"ready\" }}\nstop = {{ grace = \"{grace}\" }}\n"
    ))
}

fn begin(base: &Base, args: &[&str]) -> Child {
    let mut command = base.falco(args);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads what `child` says until a line contains `word`, unless it ends before.
/// Nothing behind that line is read.
fn hear(child: &mut Child, word: &str) -> Option<String> {
    let mut reader = BufReader::with_capacity(1, child.stderr.as_mut().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if line.contains(word) {
            return Some(line);
        }
    }
}

/// The same of one that does not end before.
fn read_until(child: &mut Child, word: &str) -> String {
    let line = hear(child, word);
    line.unwrap_or_else(|| panic!("it ended without {word:?}"))
}

#[test]
fn a_stop_names_whom_it_waits_for_and_keeps_the_bound_it_tells() {
    let base = with_deaf("5s");
    assert_quick(Duration::from_millis(1), || {
        base.up();
        let pid = base.pid_of("deaf");
        let began = Instant::now();
        let mut stop = begin(&base, &["stop"]);
        let Some(line) = hear(&mut stop, "waiting for") else {
            // It was held up until all was gone.
            stop.wait().unwrap();
            return Duration::MAX;
        };
        let named = format!("waiting for deaf (pid {pid}");
        assert!(line.contains(&named), "{line}");
        let asked = line.contains(", SIGTERM ") && line.contains(" s ago, SIGKILL in ");
        assert!(asked, "{line}");
        assert!(!line.contains("Ctrl-C"), "there is no terminal: {line}");
        let (_, rest) = line.split_once("all is gone in ").unwrap();
        let bound: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        let output = said(&stop.wait_with_output().unwrap());
        let took = began.elapsed();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            output.stderr.contains("deaf       killed"),
            "{}",
            output.stderr
        );
        base.assert_nothing_left();
        // It is told after a second.
        took.saturating_sub(Duration::from_secs(1 + bound))
    });
}

#[test]
fn an_interrupted_stop_spares_nobody_any_more() {
    let base = with_deaf("600s");
    base.up();
    let began = Instant::now();
    let mut stop = begin(&base, &["stop"]);
    read_until(&mut stop, "waiting for deaf");
    kill(stop.id(), "INT");
    let output = said(&stop.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("deaf       killed"),
        "{}",
        output.stderr
    );
    assert!(began.elapsed() < PATIENCE);
    base.assert_nothing_left();
}

#[test]
fn a_stop_interrupted_twice_leaves_at_once() {
    let base = with_deaf("600s");
    let pid = base.up();
    let mut stop = begin(&base, &["stop"]);
    read_until(&mut stop, "waiting for deaf");
    // It hears nothing more, so that nothing is killed in between.
    suspend(pid);
    kill(stop.id(), "INT");
    read_until(&mut stop, "killing what is left");
    kill(stop.id(), "INT");
    let output = said(&stop.wait_with_output().unwrap());
    assert_eq!(output.code, 130, "{}", output.stderr);
    resume(pid);
    eventually("it was asked all the same", || base.processes().is_empty());
}

#[test]
fn who_stops_or_restarts_a_part_hears_whom_it_waits_for() {
    let base = with_deaf("600s");
    base.up();
    for verb in ["restart", "stop"] {
        let mut child = begin(&base, &[verb, "deaf"]);
        let line = read_until(&mut child, "waiting for deaf (pid ");
        let (_, rest) = line.split_once("(pid ").unwrap();
        let pid = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        kill(pid.parse().unwrap(), "KILL");
        let said = said(&child.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{}", said.stderr);
        for text in [line, said.stderr] {
            assert!(!text.contains("all is gone"), "{text}");
        }
    }
}

#[test]
fn a_foreground_chain_says_whom_it_waits_for_and_a_second_ctrl_c_kills() {
    let base = with_deaf("600s");
    let mut up = begin(&base, &["up", "--foreground"]);
    read_until(&mut up, "ready in");
    let began = Instant::now();
    kill(up.id(), "INT");
    read_until(&mut up, "waiting for deaf");
    kill(up.id(), "INT");
    assert_eq!(up.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < PATIENCE);
    base.assert_nothing_left();
}

#[test]
fn on_a_terminal_it_is_one_line_that_changes_and_names_the_way_out() {
    const LIVE: &str = "\r\x1b[2K\x1b[?7l  waiting ";
    let base = with_deaf("600s");
    base.up();
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = base.falco(&["stop"]);
    command.env("TERM", "xterm").stderr(Stdio::from(pty.slave));
    let mut stop = command.spawn().unwrap();
    // Our copy of the terminal's other end.
    drop(command);
    let mut terminal = fs::File::from(pty.master);
    let mut bytes = Vec::new();
    while String::from_utf8_lossy(&bytes).matches(LIVE).count() < 2 {
        let mut more = [0; 1024];
        let read = terminal.read(&mut more).unwrap();
        bytes.extend_from_slice(&more[..read]);
    }
    kill(stop.id(), "INT");
    // A terminal that nobody has open any more ends with an error.
    _ = terminal.read_to_end(&mut bytes);
    assert_eq!(stop.wait().unwrap().code(), Some(0));
    let text = String::from_utf8(bytes).unwrap();
    let (text, _) = text.split_once("interrupted: ").unwrap();
    assert!(text.contains("press Ctrl-C to kill now"), "{text:?}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.iter().filter(|l| l.contains("at most")).count(),
        1,
        "{text:?}"
    );
}
