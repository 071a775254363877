//! What operators are told while Falco runs and says nothing, and while none
//! runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::quick::assert_quick;
use crate::suspended::{resume, suspend};
use crate::transport::{Peer, Transport, refuse_first};

/// Longer than anything may take that says that Falco does not answer.
const BOUND: Duration = Duration::from_secs(8);

/// A supervisor that does nothing until this is dropped.
pub struct Suspended {
    pid: u32,
}

impl Suspended {
    pub fn new(chain: &Chain) -> Self {
        let pid = chain.status()["pid"].as_u64().expect("a pid");
        let pid = pid.try_into().expect("a pid");
        suspend(pid);
        Self { pid }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        resume(self.pid);
    }
}

/// The exit code, what is printed, and what is said beside it.
fn run(chain: &Chain, args: &[&str]) -> (i32, String, String) {
    let output = chain.command(args).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    (code, text(&output.stdout), text(&output.stderr))
}

/// Has `check` look at what is said of a Falco that does not answer, and asserts
/// that it is said in bounded time.
fn run_in_time(chain: &Chain, args: &[&str], check: impl Fn(i32, &str, &str)) {
    assert_quick(BOUND, || {
        let began = Instant::now();
        let (code, out, err) = run(chain, args);
        let took = began.elapsed();
        check(code, &out, &err);
        took
    });
}

/// An outbox with 1 as a dead letter for which its lane waits, and 2 behind it.
fn parked() -> (Chain, Transport, Peer) {
    let toml = OUTBOX.replace("[delivery]\n", "[delivery]\non_rejected = \"park\"\n");
    let chain = Chain::up(&toml);
    let mut daemon = chain.daemon();
    let mut transport = chain.transport("test");
    let peer = refuse_first(&mut daemon, &mut transport);
    eventually("its lane is parked", || chain.outbox()["parked"] == 1);
    // From the inbox, where nobody is told to wait.
    crate::inbox::drop_file(&chain, "a.jsonl", effect("test", "s", 2) + "\n");
    // It is put away once it is on disk, and behind what was refused before it.
    eventually("it is kept", || {
        crate::inbox::is_there(&chain, "done/a.jsonl")
    });
    assert_eq!(chain.outbox()["depth"], 1);
    (chain, transport, peer)
}

fn lanes(chain: &Chain) -> Vec<Value> {
    chain.json(&["lane", "list", "--json"])
}

#[test]
fn who_looks_beside_a_suspended_falco_reads_the_disk_and_is_told_so() {
    let (chain, ..) = parked();
    let id = uuid(1);
    let suspended = Suspended::new(&chain);
    for (args, expected) in [
        (&["outbox", "list"][..], "dead after 1 attempt"),
        (&["outbox", "show", &id, &id], "  payload   1"),
        (
            &["outbox", "stats"],
            "outbox    unanswered · 1 kept in 1 lane",
        ),
        (&["lane", "list"], "s (route test)"),
    ] {
        run_in_time(&chain, args, |code, out, err| {
            assert_eq!(code, 0, "{args:?}: {err}");
            assert!(out.contains(expected), "{args:?}: {out}");
            let pid = &suspended.pid;
            let told = format!("unresponsive (lock held by pid {pid}): falco is suspended");
            assert_eq!(err.matches(&told).count(), 1, "{args:?}: {err}");
            assert!(err.contains("this is what is on disk"), "{err}");
            assert!(err.contains(&format!("hint: kill -CONT {pid}")), "{err}");
        });
    }
    let (code, out, _) = run(&chain, &["outbox", "verify"]);
    assert_eq!((code, out.is_empty()), (0, false));
}

#[test]
fn what_changes_the_outbox_of_a_suspended_falco_is_refused_and_never_done() {
    let (chain, _transport, mut peer) = parked();
    let id = uuid(1);
    let suspended = Suspended::new(&chain);
    for args in [
        &["outbox", "drop", &id][..],
        &["outbox", "requeue", "--all"],
        &["outbox", "compact"],
        &["lane", "resume", "--all"],
    ] {
        run_in_time(&chain, args, |code, out, err| {
            assert_eq!((code, out), (4, ""), "{args:?}: {err}");
            assert!(err.contains("; nothing was changed\n"), "{args:?}: {err}");
            assert!(err.contains("hint: kill -CONT"), "{err}");
        });
    }
    drop(suspended);
    assert_eq!(lanes(&chain).len(), 1);
    assert_eq!(chain.outbox()["dead"], 1);
    assert_eq!(chain.run(&["lane", "resume", "--all"]).0, 0);
    assert_eq!(peer.accept_messages(1), ["2"]);
}

/// A supervisor that changes what it is asked to so many times, and says nothing
/// any more to whoever comes then.
fn silent_after(chain: &Chain, changes: usize) -> JoinHandle<()> {
    let path = chain.base().join("falco-control.sock");
    let listener = UnixListener::bind(path).expect("binds");
    thread::spawn(move || {
        let mut changed = 0;
        while changed < changes {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut line).expect("a request");
            let answer: &[u8] = if line.contains("lane.v1") {
                changed += 1;
                b"{\"event\":\"lanes\",\"changed\":99,\"refused\":[\"x: it is not parked\"]}\n"
            } else {
                changed += usize::from(line.contains("compact"));
                b"{\"event\":\"outbox\",\"stats\":{}}\n"
            };
            stream.write_all(answer).expect("answers");
        }
        let (mut stream, _) = listener.accept().expect("somebody asks");
        _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn what_was_changed_before_falco_fell_silent_is_told() {
    for (pages, sum, rest) in [
        (1, "99 lanes go on\n", true),
        (2, "198 lanes go on\n", false),
    ] {
        let lanes: Vec<String> = (0..250).map(|n| format!("s{n}")).collect();
        let mut args = vec!["lane", "discard"];
        args.extend(lanes.iter().map(String::as_str));
        assert_quick(BOUND, || {
            let chain = Chain::new(OUTBOX);
            let falco = silent_after(&chain, pages);
            let began = Instant::now();
            let (code, out, err) = run(&chain, &args);
            let took = began.elapsed();
            assert_eq!((code, out.as_str()), (4, sum), "{err}");
            let first = format!("error: after the first {pages}00 of 250: ");
            assert!(err.starts_with(&first), "{err}");
            assert!(err.contains("nothing more was changed"), "{err}");
            assert!(err.contains("x: it is not parked"), "{err}");
            let of_the_rest = err.contains("behind the next 100 was not asked for");
            assert_eq!(of_the_rest, rest, "{err}");
            falco.join().expect("it has served");
            took
        });
    }
}

#[test]
fn a_compaction_that_falco_is_silent_about_is_not_said_to_have_changed_nothing() {
    let chain = Chain::up(OUTBOX);
    chain.stop();
    let falco = silent_after(&chain, 1);
    let (code, out, err) = run(&chain, &["outbox", "compact"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(" · it may go on; "), "{out}");
    assert!(err.contains("this is what is on disk"), "{err}");
    assert!(!err.contains("nothing was changed"), "{err}");
    falco.join().expect("it has served");
}

#[test]
fn while_nothing_runs_parked_lanes_are_read_from_disk_and_opened_there() {
    for (verb, dead) in [("resume", 1), ("discard", 0)] {
        let (chain, mut transport, peer) = parked();
        drop(peer);
        let running = lanes(&chain);
        chain.stop();
        assert_eq!(lanes(&chain), running, "as a running Falco says");
        let (_, text) = chain.run(&["outbox", "stats"]);
        assert!(
            text.contains("1 kept in 1 lane, 1 parked, oldest"),
            "{text}"
        );

        let (code, text) = chain.run(&["lane", verb, "s"]);
        assert!(code == 1 && text.contains("s: it is not parked"), "{text}");
        let (code, text) = chain.run(&["lane", verb, "s", "s", "--route", "test"]);
        assert_eq!((code, text.as_str()), (0, "1 lane goes on\n"));
        assert_eq!(lanes(&chain), [Value::Null; 0]);
        let stats = chain.json(&["outbox", "stats", "--json"]).remove(0);
        assert_eq!(
            (&stats["dead"], &stats["parked"]),
            (&json!(dead), &json!(0))
        );

        chain.start();
        assert_eq!(transport.accept().accept_messages(1), ["2"]);
        assert_eq!(chain.outbox()["dead"], dead);
    }
}

#[test]
fn whoever_holds_the_lock_is_waited_for_and_then_named() {
    let (chain, ..) = parked();
    chain.stop();
    let lock = std::fs::File::open(chain.base().join("outbox/LOCK")).expect("a lock");
    lock.try_lock().expect("nobody has it");
    assert_eq!(lanes(&chain).len(), 1, "who only looks needs no lock");
    let (code, _, err) = run(&chain, &["lane", "resume", "--all"]);
    assert!(code == 75 && err.contains("in use by"), "{code} {err}");
}
