//! Files that come complete: taken whole and in order, and put away.

use std::fs;

use super::{append, drop_file, expect_nothing_else, inbox, is_there, lines, up};
use crate::chain::eventually;
use crate::daemon::{effect, uuid};
use crate::transport::{keys, numbers, payloads};

#[test]
fn a_dropped_file_is_published_line_by_line_in_order_and_put_away() {
    let chain = up();
    let given = r#"{"type":"t","route":"test","session_id":"s","payload":0,"effect_id":"ID"}"#;
    let text = given.replace("ID", &uuid(7)) + "\n" + &lines(1..3000);
    drop_file(&chain, "a.jsonl", &text);
    eventually("all is on disk", || chain.outbox()["depth"] == 3000);
    let mut peer = chain.transport("test").accept();
    let first = peer.read();
    assert_eq!(keys(&first)[0], uuid(7), "its own id");
    let begun = payloads(&first).len();
    peer.accept(&first);
    assert_eq!(peer.accept_messages(3000 - begun), numbers(3000)[begun..]);
    eventually("it is put away", || is_there(&chain, "done/a.jsonl"));
    assert!(!is_there(&chain, "a.jsonl"));
    let kept = fs::read_to_string(inbox(&chain).join("done/a.jsonl"));
    assert_eq!(kept.expect("reads"), text, "as it was");
    drop_file(&chain, "a.jsonl", lines([5000]));
    assert_eq!(peer.accept_messages(1), ["5000"], "a name may come again");
    eventually("both are put away", || is_there(&chain, "done/a.1.jsonl"));
}

#[test]
fn a_dropped_file_is_complete_and_its_last_object_needs_no_newline() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    drop_file(&chain, "a.jsonl", lines([0, 1]).trim_end());
    assert_eq!(peer.accept_messages(2), ["0", "1"]);
    let short = r#"{"type":"t","route":"test","payload":2}"#;
    drop_file(&chain, "b.jsonl", short);
    assert_eq!(peer.accept_messages(1), ["2"]);
    for name in ["done/a.jsonl", "done/b.jsonl"] {
        eventually("it is put away", || is_there(&chain, name));
    }
    append(&chain, short);
    expect_nothing_else(&chain, &mut peer);
    assert_eq!(chain.outbox()["inbox"]["waiting"], 1, "it may grow");
    append(&chain, "\n");
    assert_eq!(peer.accept_messages(1), ["2"]);
}

#[test]
fn nothing_overtakes_the_last_line_of_a_dropped_file_that_has_no_newline() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    drop_file(&chain, "a.jsonl", lines([0, 1]).trim_end());
    drop_file(&chain, "b.jsonl", lines([2]).trim_end());
    drop_file(&chain, "c.jsonl", lines([3, 4]));
    append(&chain, lines([5]));
    assert_eq!(peer.accept_messages(6), numbers(6));
}

/// As a producer leaves them whose files have no newline at their end, each
/// before the last one counts as complete.
#[test]
fn no_stream_of_dropped_files_starves_what_is_behind_them() {
    let chain = up();
    let mut names = (0..).map(|n| format!("a-{n:05}.jsonl"));
    let mut drop_next = || {
        let name = names.next().expect("another");
        drop_file(&chain, &name, effect("test", "a", 0));
    };
    drop_next();
    append(&chain, "no effect\n");
    drop_file(&chain, "b.jsonl", lines([1]).trim_end());
    eventually("what is behind them is taken", || {
        drop_next();
        is_there(&chain, "done/b.jsonl") && is_there(&chain, "rejected/external.jsonl")
    });
}

#[test]
fn what_was_dropped_while_nothing_ran_is_taken_at_the_start() {
    let chain = up();
    chain.stop();
    drop_file(&chain, "b.jsonl", lines([1]));
    drop_file(&chain, "a.jsonl", lines([0]));
    chain.start();
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(2), ["0", "1"], "by name");
}

#[test]
fn a_long_file_is_taken_to_its_end_before_the_next() {
    let chain = up();
    chain.stop();
    let blank = (" ".repeat(1023) + "\n").repeat(20 << 10);
    drop_file(&chain, "a.jsonl", lines([0]) + &blank + &lines([1]));
    drop_file(&chain, "b.jsonl", lines([2]));
    append(&chain, lines([3]));
    chain.start();
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(4), numbers(4));
}
