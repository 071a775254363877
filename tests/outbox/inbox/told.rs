//! What waits or is not taken, and what is told of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};

use super::{drop_file, expect_nothing_else, inbox, is_there, lines, rejected, up};
use crate::chain::eventually;
use crate::daemon::effect;

#[test]
fn what_waits_is_told_and_what_was_taken_is_counted() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let line = lines([2]);
    let (begin, end) = line.split_at(20);
    drop_file(
        &chain,
        "a.jsonl",
        lines([0]) + "nonsense\n" + &lines([1]) + begin,
    );
    assert_eq!(peer.accept_messages(2), ["0", "1"]);
    eventually("it waits", || chain.outbox()["inbox"]["waiting"] == 1);
    assert_eq!(chain.run(&["status"]).0, 0, "somebody may be at it");
    eventually("a person is told", || chain.run(&["status"]).0 == 1);
    let (_, text) = chain.run(&["outbox", "stats"]);
    let told = "! inbox   a.jsonl: its last line has no newline, for 1";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("2 lines taken, 1 rejected"), "{text}");
    let path = inbox(&chain).join("a.jsonl");
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(end.as_bytes()).expect("writes");
    assert_eq!(peer.accept_messages(1), ["2"]);
    eventually("all is well", || chain.run(&["status"]).0 == 0);
    let (_, text) = chain.run(&["metrics"]);
    for line in [
        "falco_inbox_lines_total{outcome=\"taken\"} 3",
        "falco_inbox_lines_total{outcome=\"rejected\"} 1",
        "falco_inbox_files_waiting 0",
        "falco_inbox_files_held 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

#[test]
fn a_bad_line_costs_itself_only_and_its_reason_is_written_down() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let mut text = lines([0]).into_bytes();
    text.extend(b"{\"type\":\"\xff\"}\nnonsense\n");
    text.extend((effect("nowhere", "s", 5) + "\n\n").bytes());
    text.extend(lines([1]).bytes());
    text.extend([vec![b'x'; (4 << 20) + 2], b"\n".to_vec()].concat());
    text.extend(lines([2]).bytes());
    drop_file(&chain, "a.jsonl", text);
    assert_eq!(peer.accept_messages(3), ["0", "1", "2"]);
    eventually("it is put away", || is_there(&chain, "done/a.jsonl"));
    let told = rejected(&chain, "a.jsonl");
    let reasons = told
        .iter()
        .map(|told| told["reason"].as_str().expect("text"));
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons[0].contains("invalid UTF-8"), "{reasons:?}");
    assert!(reasons[1].starts_with("unreadable side-effect JSON"));
    assert!(reasons[2].contains("there is no route"), "{reasons:?}");
    assert!(reasons[3].contains("the limit is 4194304"), "{reasons:?}");
    assert_eq!(told[1]["line"], "nonsense");
    let refused = effect("nowhere", "s", 5);
    assert_eq!(told[2]["line"], refused, "all of it, as it stands there");
    let beginning = "x".repeat(64 << 10);
    assert!(told[3]["line"] == beginning, "by that its author knows it");
    let numbers: Vec<_> = told.iter().map(|told| &told["number"]).collect();
    assert_eq!(numbers, [2, 3, 4, 7], "a blank line counts as one, too");
    assert!(told.iter().all(|told| told["file"] == "a.jsonl"));
    let (_, text) = chain.run(&["status"]);
    let last = " ago: a.jsonl line 7 was rejected: the line has 4194306 bytes";
    assert!(text.contains(last), "{text}");
}

#[test]
fn what_is_no_file_of_ours_is_not_read_and_not_touched() {
    let chain = up();
    let elsewhere = chain.base().join("elsewhere");
    fs::write(&elsewhere, lines([1])).expect("writes");
    symlink(&elsewhere, inbox(&chain).join("a.jsonl")).expect("links");
    fs::create_dir(inbox(&chain).join("b.jsonl")).expect("makes");
    eventually("a person is told", || {
        let (code, text) = chain.run(&["status"]);
        code == 1 && text.contains("! inbox   a.jsonl: it is a symbolic link")
    });
    let (code, text) = chain.run(&["doctor"]);
    assert_eq!(code, 0, "a warning, for everything works: {text}");
    let found = text.lines().find(|line| line.starts_with("warn  inbox"));
    assert!(found.is_some_and(|l| l.contains("a.jsonl")), "{text}");
    fs::write(inbox(&chain).join("c.txt"), lines([2])).expect("writes");
    let mut peer = chain.transport("test").accept();
    drop_file(&chain, "d.jsonl", lines([3]));
    assert_eq!(peer.accept_messages(1), ["3"]);
    eventually("it is put away", || is_there(&chain, "done/d.jsonl"));
    for name in ["a.jsonl", "b.jsonl", "c.txt"] {
        assert!(is_there(&chain, name), "{name}");
    }
    for folder in ["", "done", "rejected"] {
        let meta = fs::metadata(inbox(&chain).join(folder)).expect("is there");
        assert_eq!(meta.mode() & 0o777, 0o700);
    }
    expect_nothing_else(&chain, &mut peer);
}
