//! The file that others append to, truncate, rename and write anew.

use std::fs::{self, OpenOptions};

use super::{append, expect_nothing_else, inbox, is_there, lines, rejected, up};
use crate::chain::eventually;
use crate::transport::numbers;

#[test]
fn appended_lines_are_taken_as_they_come_and_one_without_its_end_waits_for_it() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    append(&chain, lines([0]));
    assert_eq!(peer.accept_messages(1), ["0"]);
    let line = lines([1]);
    let (begin, end) = line.split_at(20);
    append(&chain, lines([10]) + begin);
    assert_eq!(peer.accept_messages(1), ["10"]);
    append(&chain, end.to_owned() + &lines([2]));
    assert_eq!(peer.accept_messages(2), ["1", "2"]);
    expect_nothing_else(&chain, &mut peer);
    let path = inbox(&chain).join("external.jsonl");
    let text = fs::read_to_string(path).expect("reads");
    assert_eq!(text, lines([0, 10, 1, 2]), "falco never writes it");
    assert!(rejected(&chain, "external.jsonl").is_empty());
}

#[test]
fn a_file_that_was_truncated_or_replaced_is_read_from_its_top_and_nothing_known_twice() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let path = inbox(&chain).join("external.jsonl");
    append(&chain, lines(0..3));
    assert_eq!(peer.accept_messages(3), numbers(3));
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    let one = lines([0]).len() as u64;
    file.set_len(one).expect("truncates");
    // Its top is known; what comes after it is not.
    eventually("it is seen", || {
        append(&chain, "\n");
        chain.outbox()["depth"] == 0
    });
    append(&chain, lines([7]));
    assert_eq!(peer.accept_messages(1), ["7"]);

    fs::rename(&path, inbox(&chain).join("old.jsonl")).expect("renames");
    append(&chain, lines([8]));
    assert_eq!(peer.accept_messages(1), ["8"], "another file of that name");
    append(&chain, lines([9]));
    assert_eq!(peer.accept_messages(1), ["9"]);
    eventually("it is put away", || is_there(&chain, "done/old.jsonl"));
    expect_nothing_else(&chain, &mut peer);
}

#[test]
fn what_was_renamed_for_a_new_file_to_be_appended_to_comes_before_it() {
    let chain = up();
    let path = inbox(&chain).join("external.jsonl");
    let mut transport = chain.transport("test");
    let mut peer = transport.accept();
    let mut n = 0;
    for is_running in [true, false, true] {
        if !is_running {
            chain.stop();
        }
        for piece in 0..3 {
            append(&chain, lines(n..n + 1500));
            n += 1500;
            if piece < 2 {
                let name = format!("old-{n:08}.jsonl");
                fs::rename(&path, inbox(&chain).join(name)).expect("renames");
            }
        }
        if !is_running {
            chain.start();
            peer = transport.accept();
        }
        let expected: Vec<String> = (n - 4500..n).map(|n| n.to_string()).collect();
        assert_eq!(peer.accept_messages(4500), expected);
    }
}
