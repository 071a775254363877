//! Files in the inbox that are not as they should be, and hold up no other.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use crate::chain::eventually;
use crate::inbox::{append, drop_file, expect_nothing_else, inbox, is_there, lines, up};
use crate::transport::numbers;

#[test]
fn what_is_wrong_with_one_file_holds_up_no_other() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let near = chain.base().join("s");
    let _socket = UnixListener::bind(&near).expect("binds");
    fs::rename(&near, inbox(&chain).join("a-sock.jsonl")).expect("renames");
    fs::create_dir(inbox(&chain).join("rejected/b.jsonl")).expect("makes");
    drop_file(&chain, "b.jsonl", lines([7]) + "nonsense\n");
    drop_file(&chain, "c.jsonl", lines([0]));
    assert_eq!(peer.accept_messages(1), ["0"]);
    eventually("it is put away", || is_there(&chain, "done/c.jsonl"));
    let mut text = String::new();
    eventually("a person is told of both", || {
        text = chain.run(&["outbox", "stats"]).1;
        text.contains("! inbox   a-sock.jsonl: it is no regular file")
            && text.contains("! inbox   b.jsonl: failed to write")
    });
    fs::remove_dir(inbox(&chain).join("rejected/b.jsonl")).expect("removes");
    assert_eq!(peer.accept_messages(1), ["7"], "once it is mended");
    eventually("it is put away", || is_there(&chain, "done/b.jsonl"));
}

#[test]
fn a_name_as_long_as_names_may_be_is_put_away_as_often_as_it_comes() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let name = "n".repeat(249) + ".jsonl";
    for round in 0..3 {
        drop_file(&chain, &name, lines([round]));
        assert_eq!(peer.accept_messages(1), [round.to_string()]);
        eventually("it is put away", || !is_there(&chain, &name));
    }
    let done = fs::read_dir(inbox(&chain).join("done")).expect("lists");
    assert_eq!(done.count(), 3);
}

#[test]
fn files_that_wait_take_no_place_from_those_that_do_not() {
    let chain = up();
    for n in 0..1030 {
        symlink("nowhere", inbox(&chain).join(format!("a{n}.jsonl"))).expect("links");
    }
    append(&chain, lines([0]));
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(1), ["0"]);
    drop_file(&chain, "z.jsonl", lines([1]));
    assert_eq!(peer.accept_messages(1), ["1"]);
    eventually("it is put away", || is_there(&chain, "done/z.jsonl"));
}

#[test]
fn a_file_with_a_time_that_is_yet_to_come_is_taken_whole_and_put_away() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    for (name, text) in [("a.jsonl", lines([0])), ("b.jsonl", lines([1]))] {
        let made = chain.base().join("later");
        fs::write(&made, text.trim_end()).expect("writes");
        let file = File::options().write(true).open(&made).expect("opens");
        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        file.set_modified(tomorrow).expect("sets its time");
        fs::rename(made, inbox(&chain).join(name)).expect("renames");
    }
    assert_eq!(peer.accept_messages(2), numbers(2));
    for name in ["done/a.jsonl", "done/b.jsonl"] {
        eventually("it is put away", || is_there(&chain, name));
    }
}

#[test]
fn a_file_written_anew_that_begins_as_before_is_read_from_its_top() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    append(&chain, lines([0, 1]));
    assert_eq!(peer.accept_messages(2), numbers(2));
    let path = inbox(&chain).join("external.jsonl");
    // The place that was reached is now within a line.
    let anew = lines([0]) + &lines([22_222]) + &lines([33_333]);
    fs::write(path, anew).expect("writes");
    assert_eq!(peer.accept_messages(2), ["22222", "33333"]);
    expect_nothing_else(&chain, &mut peer);
    assert_eq!(chain.outbox()["inbox"]["rejected"], 0);
}
