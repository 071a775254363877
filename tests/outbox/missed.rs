//! An outbox that a start does not find, or finds as it was earlier.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::moved::{move_it, outbox, put_back, up_with_three};
use crate::transport::numbers;

/// What is said of one that is missed.
const MISSED: &str = "put it back";

/// Brings the chain up; whether that says that an outbox is missed.
fn up_misses(chain: &Chain) -> bool {
    let (code, text) = chain.run(&["up"]);
    assert_eq!(code, 0, "what is there works: {text}");
    text.contains(MISSED)
}

/// Stops a chain of which nothing is missed any more.
fn stop_well(chain: &Chain) {
    eventually("all is well", || chain.run(&["status"]).0 == 0);
    chain.stop();
}

/// The outbox is moved, and the supervisor killed: nobody stops any more.
fn moved_and_killed(chain: &Chain) {
    move_it(chain);
    chain.kill();
}

#[test]
fn a_start_without_the_outbox_of_a_killed_chain_says_so_until_it_is_back() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    moved_and_killed(&chain);
    assert!(up_misses(&chain));
    assert_eq!(chain.run(&["status"]).0, 1);
    for verb in ["status", "doctor", "events"] {
        eventually(verb, || chain.run(&[verb]).1.contains(MISSED));
    }
    // The new one takes what comes, and is closed with it.
    let mut daemon = chain.daemon();
    daemon.publish(3, &effect("test", "s", 3));
    chain.stop();

    fs::rename(outbox(&chain), chain.base().join("new")).expect("moves");
    put_back(&chain);
    assert!(up_misses(&chain), "now the new one");
    let mut transport = chain.transport("test");
    assert_eq!(transport.accept().accept_messages(3), numbers(3));
    eventually("all is published", || chain.outbox()["depth"] == 0);
    chain.stop();

    fs::rename(outbox(&chain), chain.base().join("empty")).expect("moves");
    fs::rename(chain.base().join("new"), outbox(&chain)).expect("moves");
    assert!(!up_misses(&chain));
    assert_eq!(transport.accept().accept_messages(1), ["3"]);
    stop_well(&chain);
}

#[test]
fn who_does_not_want_an_outbox_back_removes_its_mark() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    chain.kill();
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    assert!(up_misses(&chain));
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("or remove"), "{text}");
    let entries = fs::read_dir(chain.base().join("run")).expect("lists");
    let is_mark = |path: &PathBuf| text.contains(&format!("remove {} if", path.display()));
    let paths = entries.map(|entry| entry.expect("lists").path());
    let marks: Vec<_> = paths.filter(is_mark).collect();
    assert_eq!(marks.len(), 1, "{text}");
    fs::remove_file(&marks[0]).expect("removed");
    stop_well(&chain);
}

#[test]
fn an_outbox_that_was_closed_with_nothing_in_it_is_not_missed_and_no_other_mode_asks() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
    eventually("all is published", || chain.outbox()["depth"] == 0);
    chain.stop();
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    assert!(!up_misses(&chain));
    chain.kill();

    fs::remove_dir_all(outbox(&chain)).expect("removed");
    chain.configure("");
    assert!(!up_misses(&chain), "direct mode");
    chain.stop();
}

/// The numbers that the marks say.
fn said(chain: &Chain) -> Vec<u64> {
    let entries = fs::read_dir(chain.base().join("run")).expect("lists");
    let names = entries.map(|entry| entry.expect("lists").path());
    let marks = names.filter(|path| {
        let name = path.file_name().expect("named").to_string_lossy();
        name.starts_with("outbox-") && !name.ends_with(".tmp")
    });
    let said = marks.map(|path| fs::read(path).expect("reads"));
    let said = said.map(|said| serde_json::from_slice(&said).expect("whole"));
    said.map(|said: serde_json::Value| said["seq"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn an_outbox_as_it_was_before_a_burst_is_told_from_what_a_kill_left() {
    let (chain, mut daemon) = up_with_three(OUTBOX);
    let copied = chain
        .program("cp")
        .args(["-a"])
        .arg(outbox(&chain))
        .arg(chain.base().join("copy"))
        .status();
    assert!(copied.expect("copies").success());
    (3..30).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    eventually("what was acknowledged is marked", || {
        said(&chain).iter().any(|seq| 30 <= *seq)
    });
    chain.kill();
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    fs::rename(chain.base().join("copy"), outbox(&chain)).expect("moves");
    assert!(up_misses(&chain));
    assert_eq!(chain.outbox()["depth"], 3);
    assert_eq!(chain.run(&["status"]).0, 1);
    chain.stop();
}

#[test]
fn an_outbox_that_was_emptied_by_hand_while_nothing_ran_is_not_missed() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    chain.run(&["stop"]);
    assert_eq!(said(&chain).len(), 1);
    let (_, text) = chain.run(&["outbox", "drop", &uuid(0)]);
    assert_eq!(said(&chain).len(), 1, "two are left: {text}");
    let (code, text) = chain.run(&["outbox", "drop", &uuid(1), &uuid(2)]);
    assert_eq!(code, 0, "{text}");
    assert!(said(&chain).is_empty());
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    assert!(!up_misses(&chain));
    stop_well(&chain);
}

#[test]
fn whoever_wants_to_hear_of_no_success_hears_of_an_outbox_that_is_missed() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    moved_and_killed(&chain);
    let (code, text) = chain.run(&["up", "--quiet"]);
    assert_eq!((code, text.lines().count()), (0, 1), "{text}");
    assert!(text.contains(MISSED), "{text}");
    chain.stop();

    let (mut service, said) = in_foreground(&chain, &["--quiet"]);
    eventually("it says so", || said().contains(MISSED));
    chain.stop();
    assert!(service.wait().expect("ends").success());
}

#[test]
fn who_stays_hears_once_of_an_outbox_that_is_missed_however_often_the_chain_is_ready() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    moved_and_killed(&chain);
    let (mut service, said) = in_foreground(&chain, &[]);
    eventually("it says so", || said().contains(MISSED));
    assert_eq!(chain.run(&["restart", "falco"]).0, 0);
    let ready = || said().matches("ready in").count();
    eventually("it is ready again", || 1 < ready());
    chain.stop();
    assert!(service.wait().expect("ends").success());
    let said = said();
    assert_eq!(said.matches(MISSED).count(), 1, "{said}");
}

#[test]
fn a_synced_record_that_is_cut_off_is_missed_by_who_verifies_and_by_the_next_start() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    eventually("what was acknowledged is marked", || {
        said(&chain).iter().any(|seq| 5 <= *seq)
    });
    assert_eq!(chain.run(&["outbox", "verify"]).0, 0);
    chain.kill();
    let entries = fs::read_dir(outbox(&chain)).expect("lists");
    let paths = entries.map(|entry| entry.expect("lists").path());
    let mut segments = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let segment = segments.next().expect("a segment");
    let bytes = fs::read(&segment).expect("reads");
    fs::write(&segment, &bytes[..bytes.len() - 9]).expect("written");

    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 1 && text.contains(MISSED), "{code} {text}");
    assert!(text.contains("cut off, and not by a crash"), "{text}");
    assert!(!text.contains("promised"), "{text}");
    let told = chain.json(&["outbox", "verify", "--json"]).remove(0);
    assert!(
        told["had_seq"].as_u64() > told["last_seq"].as_u64(),
        "{told}"
    );
    assert!(up_misses(&chain));
    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 1 && text.contains(MISSED), "{code} {text}");
    chain.stop();
}

/// A chain in the foreground, and what it has said.
fn in_foreground(chain: &Chain, flags: &[&str]) -> (Child, impl Fn() -> String) {
    let path = chain.base().join("said");
    let file = fs::File::create(&path).expect("made");
    let mut command = chain.command(&[&["up", "--foreground"], flags].concat());
    let service = command.stderr(file).spawn().expect("starts");
    let said = move || fs::read_to_string(&path).expect("reads");
    (service, said)
}
