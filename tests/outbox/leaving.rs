//! What becomes of a change when either end of the conversation is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use serde_json::json;

use crate::chain::{Chain, OUTBOX, PATIENCE};
use crate::daemon::{effect, uuid};
use crate::unanswered::Suspended;

/// Asks a supervisor to drop an effect, and says nothing more.
pub fn ask_to_drop(chain: &Chain, n: u32) -> UnixStream {
    let path = chain.base().join("falco-control.sock");
    let mut stream = UnixStream::connect(path).expect("connects");
    let request = json!({"op": "outbox.v1", "verb": "drop", "ids": [uuid(n)]});
    writeln!(stream, "{request}").expect("asks");
    stream
}

/// An outbox that keeps as many effects, which nobody publishes.
fn keeping(count: u32) -> Chain {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..count).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    chain
}

#[test]
fn nothing_is_dropped_for_those_who_left_while_falco_was_suspended() {
    let chain = keeping(60);
    let suspended = Suspended::new(&chain);
    // More than are served at once.
    let gone = (0..60).map(|n| ask_to_drop(&chain, n));
    drop(gone.collect::<Vec<_>>());
    drop(suspended);
    assert_eq!(chain.outbox()["depth"], 60);
}

#[test]
fn who_has_finished_speaking_is_answered_all_the_same() {
    let chain = keeping(1);
    let mut asks = ask_to_drop(&chain, 0);
    asks.shutdown(Shutdown::Write).expect("shuts");
    asks.set_read_timeout(Some(PATIENCE)).expect("sets");
    let mut said = String::new();
    asks.read_to_string(&mut said).expect("an answer");
    assert!(said.contains(r#""changed":1"#), "{said}");
    assert_eq!(chain.outbox()["depth"], 0);
}

/// What is said where Falco ends under a question.
const LATE: &str = "{\"event\":\"refused\",\"why\":\"late\",\"error\":\"Falco did not answer\"}\n";

/// A supervisor that says `last` to whoever wants a change, and ends.
fn ends_with(chain: &Chain, last: &'static str) -> JoinHandle<()> {
    let path = chain.base().join("falco-control.sock");
    let listener = UnixListener::bind(path).expect("binds");
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut line).expect("a request");
            let looks = line.contains("stats");
            let answer = if looks {
                "{\"event\":\"outbox\"}\n"
            } else {
                last
            };
            stream.write_all(answer.as_bytes()).expect("answers");
            if !looks {
                return;
            }
        }
    })
}

#[test]
fn a_change_under_which_falco_ends_may_or_may_not_have_happened() {
    let id = uuid(1);
    for (last, why) in [("", "ended before it answered"), (LATE, "did not answer")] {
        for (verb, look) in [
            (&["outbox", "drop", &id][..], "falco outbox list"),
            (&["lane", "resume", "s"], "falco lane list"),
        ] {
            // It is found neither done nor undone on disk, though the lock is free.
            let chain = keeping(1);
            chain.stop();
            let falco = ends_with(&chain, last);
            let (code, text) = chain.run(verb);
            assert_eq!(code, 4, "{text}");
            assert!(text.contains(why), "{text}");
            let base = chain.base();
            let look = format!("{look} --base-dir {}", base.display());
            let told = format!("it may or may not have happened: look with {look} before");
            assert!(text.contains(&told), "{text}");
            falco.join().expect("it has served");
        }
    }
}

/// A supervisor that says `first` to whoever comes first and `then` to everybody
/// else, until nothing is asked.
fn says(chain: &Chain, first: &'static str, then: &'static str) -> JoinHandle<()> {
    let path = chain.base().join("falco-control.sock");
    let listener = UnixListener::bind(path).expect("binds");
    thread::spawn(move || {
        for answer in std::iter::once(first).chain(std::iter::repeat(then)) {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut line).expect("a request");
            if line.is_empty() {
                return;
            }
            stream.write_all(answer.as_bytes()).expect("answers");
        }
    })
}

#[test]
fn who_looks_while_falco_ends_asks_its_next_life_or_reads_the_disk() {
    const ABSENT: &str =
        "{\"event\":\"refused\",\"why\":\"absent\",\"error\":\"Falco does not run\"}\n";
    let chain = keeping(1);
    chain.stop();
    for (then, told) in [(ABSENT, ""), (LATE, "this is what is on disk")] {
        for args in [
            &["outbox", "list"][..],
            &["outbox", "stats"],
            &["lane", "list"],
        ] {
            let falco = says(&chain, LATE, then);
            let (code, text) = chain.run(args);
            assert_eq!(code, 0, "{args:?}: {text}");
            assert!(text.contains(told), "{args:?}: {text}");
            assert_eq!(text.contains("note:"), !told.is_empty(), "{args:?}: {text}");
            let path = chain.base().join("falco-control.sock");
            drop(UnixStream::connect(&path).expect("connects"));
            falco.join().expect("it has served");
            std::fs::remove_file(path).expect("removes");
        }
    }
}

#[test]
fn an_outbox_whose_falco_is_stopped_by_name_is_read_and_changed_on_disk() {
    let chain = keeping(2);
    assert_eq!(chain.run(&["stop", "falco"]).0, 0);
    let listed = chain.json(&["outbox", "list", "--json"]);
    assert_eq!(listed.len(), 2);
    let dropped = chain.run(&["outbox", "drop", &uuid(0)]);
    assert_eq!(dropped, (0, "1 dropped\n".to_owned()));
    let (code, text) = chain.run(&["restart", "falco"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(chain.outbox()["depth"], 1);
}

#[test]
fn without_an_outbox_every_verb_says_so_and_ends_as_where_nothing_runs() {
    let chain = Chain::up("[delivery]\nmode = \"direct\"\n");
    let id = uuid(1);
    let verbs: [&[&str]; 8] = [
        &["list"],
        &["list", "--json"],
        &["show", &id],
        &["stats"],
        &["requeue", "--all"],
        &["drop", &id],
        &["compact"],
        &["verify"],
    ];
    let told = |verb: &[&str]| chain.run(&[&["outbox"], verb].concat());
    for verb in verbs {
        let (code, text) = told(verb);
        let hint = "hint: a chain with delivery.mode = \"outbox\" in falco.toml makes one";
        assert!(code == 3 && text.contains(hint), "{verb:?}: {code} {text}");
    }
    let (_, text) = told(&["list"]);
    assert!(text.contains("keeps nothing on disk"), "{text}");
    let (code, text) = chain.run(&["lane", "list"]);
    assert_eq!((code, text.as_str()), (0, ""));
    chain.stop();
    for verb in verbs {
        let (code, text) = told(verb);
        let none = "there is no outbox in";
        assert!(code == 3 && text.contains(none), "{verb:?}: {code} {text}");
    }
}

#[test]
fn what_is_too_long_for_one_request_is_asked_for_in_several() {
    let chain = keeping(3);
    let strangers: Vec<String> = (1000..5000).map(uuid).collect();
    let mut args = vec!["outbox", "drop"];
    args.extend(strangers.iter().map(String::as_str));
    let id = uuid(2);
    args.push(&id);
    let (code, text) = chain.run(&args);
    assert!(code == 1 && text.starts_with("1 dropped\n"), "{code}");
    assert_eq!(text.matches("there is no such effect").count(), 4000);
    let long = "x".repeat(20_000);
    let garbage: Vec<String> = (0..20).map(|n| format!("{n}{long}")).collect();
    let mut args = vec!["lane", "resume"];
    args.extend(garbage.iter().map(String::as_str));
    let (code, text) = chain.run(&args);
    assert_eq!(code, 1);
    assert_eq!(text.matches("it is not parked").count(), 20);

    let whole = "x".repeat(100_000);
    let (code, text) = chain.run(&["lane", "resume", &whole]);
    assert!(code == 2 && text.contains("too long"), "{code}");
}

#[test]
fn a_long_route_leaves_less_of_a_request_to_the_lanes_it_is_asked_about() {
    let chain = keeping(1);
    let route = "r".repeat(2_000);
    let long = "x".repeat(653);
    let lanes: Vec<String> = (0..98).map(|n| format!("{n:02}{long}")).collect();
    let mut args = vec!["lane", "resume", "--route", &route];
    args.extend(lanes.iter().map(String::as_str));
    let (code, text) = chain.run(&args);
    assert!(code == 1 && text.contains("there is no route"), "{text}");

    let whole = "r".repeat(100_000);
    let (code, text) = chain.run(&["lane", "resume", "s", "--route", &whole]);
    assert!(code == 2 && text.contains("too long"), "{code} {text}");
}
