//! An outbox that somebody moves, removes or replaces while it is in use.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect};
use crate::transport::numbers;

/// Three effects are kept, and nobody publishes them yet.
pub fn up_with_three(toml: &str) -> (Chain, Daemon) {
    let chain = Chain::up(toml);
    let mut daemon = chain.daemon();
    for n in 0..3 {
        daemon.publish(n, &effect("test", "s", n));
    }
    (chain, daemon)
}

pub fn outbox(chain: &Chain) -> PathBuf {
    chain.base().join("outbox")
}

/// Moves it, right after the last effect was taken.
pub fn move_it(chain: &Chain) -> PathBuf {
    let moved = chain.base().join("moved");
    fs::rename(outbox(chain), &moved).expect("moves");
    moved
}

pub fn put_back(chain: &Chain) {
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
    let (_, text) = chain.run(&["status"]);
    let told = "effects   4 taken, 3 kept, 1 published around the outbox, 0 failed";
    assert!(text.contains(told), "{text}");
    let (_, text) = chain.run(&["metrics"]);
    assert!(text.contains("\nfalco_outbox_around_total 1\n"), "{text}");
}
