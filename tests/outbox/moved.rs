//! An outbox that somebody moves, removes or replaces while it is in use.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, uuid};
use crate::transport::numbers;

/// Three effects are kept, and nobody publishes them yet.
fn up_with_three(toml: &str) -> (Chain, Daemon) {
    let chain = Chain::up(toml);
    let mut daemon = chain.daemon();
    for n in 0..3 {
        daemon.publish(n, &effect("test", "s", n));
    }
    (chain, daemon)
}

fn outbox(chain: &Chain) -> PathBuf {
    chain.base().join("outbox")
}

/// Moves it, right after the last effect was taken.
fn move_it(chain: &Chain) -> PathBuf {
    let moved = chain.base().join("moved");
    fs::rename(outbox(chain), &moved).expect("moves");
    moved
}

fn put_back(chain: &Chain) {
    fs::rename(chain.base().join("moved"), outbox(chain)).expect("moves back");
}

#[test]
fn an_outbox_that_is_moved_takes_nothing_more_and_goes_on_once_it_is_back() {
    let (chain, mut daemon) = up_with_three(OUTBOX);
    let moved = move_it(&chain);
    for n in 3..6 {
        daemon.send(n, &effect("test", "s", n));
        let told = daemon.read().1.expect("nobody would find it");
        assert!(told.starts_with("unrecorded: "), "{told}");
        assert!(told.contains("was moved, removed or replaced"), "{told}");
    }
    let (code, text) = chain.run(&["status"]);
    let names = text.contains(&*moved.to_string_lossy());
    assert!(code == 1 && names && text.contains("astray"), "{text}");
    let (code, text) = chain.run(&["doctor"]);
    assert!(code == 1 && text.contains("put it back"), "{text}");
    // Its bytes can be had all the same.
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));

    put_back(&chain);
    eventually("it is well again", || chain.outbox()["state"] == "ok");
    daemon.publish(6, &effect("test", "s", 6));
    assert_eq!(peer.accept_messages(1), ["6"]);
    chain.stop();
}

#[test]
fn a_stop_says_what_an_outbox_that_was_moved_leaves_undone_and_back_in_place_it_is_published() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    let moved = move_it(&chain);
    let (code, text) = chain.run(&["stop"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("3 effects"), "{text}");
    assert!(text.contains(&*moved.to_string_lossy()), "{text}");
    assert!(!outbox(&chain).exists(), "nothing was begun in its place");

    put_back(&chain);
    chain.start();
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
}

#[test]
fn no_outbox_is_begun_beside_one_that_was_moved_also_by_a_restart() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    move_it(&chain);
    let (code, text) = chain.run(&["restart", "falco", "--timeout", "3"]);
    assert_ne!(code, 0, "{text}");
    assert!(!outbox(&chain).exists(), "nothing was begun in its place");
    eventually("it is told", || {
        let (code, text) = chain.run(&["status"]);
        code == 1 && text.contains("was moved")
    });

    put_back(&chain);
    let (code, text) = chain.run(&["restart", "falco"]);
    assert_eq!(code, 0, "{text}");
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
}

#[test]
fn a_copy_in_the_place_of_an_outbox_is_not_touched() {
    let (chain, mut daemon) = up_with_three(OUTBOX);
    let moved = move_it(&chain);
    let copied = chain
        .program("cp")
        .args(["-a"])
        .arg(&moved)
        .arg(outbox(&chain))
        .status();
    assert!(copied.expect("copies").success());
    let files = || {
        let list = fs::read_dir(outbox(&chain)).expect("lists");
        let names = list.map(|entry| entry.expect("lists").path());
        let mut files: Vec<_> = names
            .filter(|path| path.is_file())
            .map(|path| (fs::read(&path).expect("reads"), path))
            .collect();
        files.sort();
        files
    };
    let before = files();
    daemon.send(3, &effect("test", "s", 3));
    daemon.expect_failed(3, "unrecorded: ");
    let (code, text) = chain.run(&["stop"]);
    assert!(code == 1 && text.contains("3 effects"), "{text}");
    assert_eq!(files(), before);
}

#[test]
fn an_inbox_in_the_place_of_one_that_was_moved_is_not_touched_and_ours_goes_on_once_it_is_back() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    let inbox = outbox(&chain).join("inbox");
    eventually("there is an inbox", || inbox.join("done").exists());
    let moved = move_it(&chain);
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&inbox)
        .expect("made");
    let theirs = inbox.join("theirs.jsonl");
    let line = |n: u32| effect("test", "s", n) + "\n";
    fs::write(&theirs, line(7)).expect("written");
    fs::write(moved.join("inbox/ours.jsonl"), line(3)).expect("written");
    eventually("it is found out", || {
        let trouble = &chain.outbox()["inbox"]["trouble"];
        trouble
            .as_str()
            .is_some_and(|why| why.contains("was moved"))
    });
    let list = fs::read_dir(&inbox).expect("lists");
    let names: Vec<_> = list.map(|entry| entry.expect("lists").path()).collect();
    assert_eq!(names, [theirs]);

    fs::rename(outbox(&chain), chain.base().join("theirs")).expect("moves");
    put_back(&chain);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(4), numbers(4));
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
    let (code, text) = chain.run(&["up"]);
    assert_eq!(code, 0, "what is there works: {text}");
    assert!(text.contains("put it back"), "{text}");
    assert_eq!(chain.run(&["status"]).0, 1);
    for verb in ["status", "doctor", "events"] {
        eventually(verb, || chain.run(&[verb]).1.contains("put it back"));
    }
    // The new one takes what comes, and is closed with it.
    let mut daemon = chain.daemon();
    daemon.publish(3, &effect("test", "s", 3));
    chain.stop();

    fs::rename(outbox(&chain), chain.base().join("new")).expect("moves");
    put_back(&chain);
    let (_, text) = chain.run(&["up"]);
    assert!(
        text.contains("put it back"),
        "now the new one is missed: {text}"
    );
    let mut transport = chain.transport("test");
    assert_eq!(transport.accept().accept_messages(3), numbers(3));
    eventually("all is published", || chain.outbox()["depth"] == 0);
    chain.stop();

    fs::rename(outbox(&chain), chain.base().join("empty")).expect("moves");
    fs::rename(chain.base().join("new"), outbox(&chain)).expect("moves");
    let (_, text) = chain.run(&["up"]);
    assert!(!text.contains("put it back"), "nothing is missed: {text}");
    assert_eq!(transport.accept().accept_messages(1), ["3"]);
    eventually("all is well", || chain.run(&["status"]).0 == 0);
    chain.stop();
}

#[test]
fn who_does_not_want_an_outbox_back_removes_its_mark() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    chain.kill();
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    chain.start();
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("or remove"), "{text}");
    let entries = fs::read_dir(chain.base().join("run")).expect("lists");
    let is_mark = |path: &PathBuf| text.contains(&format!("remove {} if", path.display()));
    let paths = entries.map(|entry| entry.expect("lists").path());
    let marks: Vec<_> = paths.filter(is_mark).collect();
    assert_eq!(marks.len(), 1, "{text}");
    fs::remove_file(&marks[0]).expect("removed");
    eventually("all is well", || chain.run(&["status"]).0 == 0);
    chain.stop();
}

#[test]
fn an_outbox_that_was_closed_with_nothing_in_it_is_not_missed_and_no_other_mode_asks() {
    let (chain, _daemon) = up_with_three(OUTBOX);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
    eventually("all is published", || chain.outbox()["depth"] == 0);
    chain.stop();
    fs::remove_dir_all(outbox(&chain)).expect("removed");
    let (_, text) = chain.run(&["up"]);
    assert!(!text.contains("put it back"), "{text}");
    chain.kill();

    fs::remove_dir_all(outbox(&chain)).expect("removed");
    chain.configure("");
    let (_, text) = chain.run(&["up"]);
    assert!(!text.contains("put it back"), "direct mode: {text}");
    chain.stop();
}

#[test]
fn with_leave_to_go_around_it_only_what_is_kept_waits_for_an_outbox_that_was_moved() {
    let toml = OUTBOX.replace("[outbox]", "[outbox]\non_journal_failure = \"bypass\"");
    let (chain, mut daemon) = up_with_three(&toml);
    move_it(&chain);
    let mut transport = chain.transport("test");
    assert_eq!(transport.accept().accept_messages(3), numbers(3));
    daemon.send(3, &effect("test", "other", 3));
    // What goes around it has a connection of its own.
    assert_eq!(transport.accept().accept_messages(1), ["3"]);
    daemon.expect_success(3);
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
    let (code, text) = chain.run(&["up"]);
    assert_eq!(code, 0, "what is there works: {text}");
    assert!(text.contains("put it back"), "{text}");
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
    let (_, text) = chain.run(&["up"]);
    assert!(!text.contains("put it back"), "{text}");
    eventually("all is well", || chain.run(&["status"]).0 == 0);
    chain.stop();
}
