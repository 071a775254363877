//! Files that other programs leave, or append to.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use serde_json::Value;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::transport::{Peer, keys, numbers, payloads};

pub fn inbox(chain: &Chain) -> PathBuf {
    chain.base().join("outbox/inbox")
}

/// A chain whose inbox is there.
pub fn up() -> Chain {
    let chain = Chain::up(OUTBOX);
    eventually("there is an inbox", || {
        inbox(&chain).join("rejected").is_dir()
    });
    chain
}

/// Drops a file as the contract says: complete, by rename.
pub fn drop_file(chain: &Chain, name: &str, text: impl AsRef<[u8]>) {
    let made = chain.base().join("made");
    fs::write(&made, text).expect("writes");
    fs::rename(made, inbox(chain).join(name)).expect("renames");
}

pub fn append(chain: &Chain, text: impl AsRef<[u8]>) {
    let path = inbox(chain).join("external.jsonl");
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.expect("opens")
        .write_all(text.as_ref())
        .expect("writes");
}

pub fn lines(numbers: impl IntoIterator<Item = u32>) -> String {
    let lines = numbers.into_iter().map(|n| effect("test", "s", n) + "\n");
    lines.collect()
}

pub fn is_there(chain: &Chain, name: &str) -> bool {
    inbox(chain).join(name).exists()
}

fn rejected(chain: &Chain, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(inbox(chain).join("rejected").join(name));
    let text = text.unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// Publishes 9999 through the socket and expects that it comes next.
pub fn expect_nothing_else(chain: &Chain, peer: &mut Peer) {
    chain.daemon().publish(9999, &effect("test", "s", 9999));
    assert_eq!(peer.accept_messages(1), ["9999"]);
}

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
fn a_line_is_taken_once_however_often_falco_is_killed() {
    let chain = up();
    append(&chain, lines(0..400));
    drop_file(&chain, "big.jsonl", lines(1000..4000));
    eventually("some is on disk", || {
        chain.outbox()["depth"].as_u64() > Some(300)
    });
    for round in 1..4 {
        chain.kill();
        append(&chain, lines([10_000 + round]));
        chain.start();
    }
    eventually("all is on disk", || chain.outbox()["depth"] == 3403);
    chain.stop();
    chain.start();
    let mut peer = chain.transport("test").accept();
    let mut all: Vec<u32> = Vec::new();
    while all.len() < 3403 {
        let request = peer.read();
        all.extend(
            payloads(&request)
                .iter()
                .map(|p| p.parse::<u32>().expect("n")),
        );
        peer.accept(&request);
    }
    let of = |from, to| all.iter().copied().filter(move |n| (from..to).contains(n));
    assert!(of(0, 400).eq(0..400), "in order, once");
    assert!(of(1000, 4000).eq(1000..4000), "in order, once");
    assert!(of(10_001, 10_004).eq(10_001..10_004));
    eventually("it is put away", || is_there(&chain, "done/big.jsonl"));
    expect_nothing_else(&chain, &mut peer);
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

#[test]
fn a_line_is_counted_once_however_often_its_piece_is_offered() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    let text = lines([0]) + &effect("nowhere", "s", 5) + "\n" + &lines([1]);
    drop_file(&chain, "a.jsonl", text);
    assert_eq!(peer.accept_messages(2), ["0", "1"]);
    eventually("it is put away", || is_there(&chain, "done/a.jsonl"));
    let (_, text) = chain.run(&["metrics"]);
    for line in [
        "falco_effects_taken_total 3",
        "falco_effects_answered_total{outcome=\"success\"} 2",
        "falco_effects_answered_total{outcome=\"failed\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

/// As a kill leaves it that came while the file was given its name again.
#[test]
fn a_file_with_two_names_in_the_inbox_is_taken_once_and_leaves_under_both() {
    let chain = up();
    chain.stop();
    let bad = "no effect\n";
    drop_file(&chain, "a.jsonl", lines(1..4) + bad);
    let aside = "a.0b9a7c1e-58a5-4d0e-9f0e-1f6d0c1a2b3c.jsonl";
    let (one, other) = (inbox(&chain).join("a.jsonl"), inbox(&chain).join(aside));
    fs::hard_link(one, other).expect("links");
    chain.start();
    eventually("both have left", || {
        !is_there(&chain, "a.jsonl") && !is_there(&chain, aside)
    });
    assert!(is_there(&chain, "done/a.jsonl") && is_there(&chain, &format!("done/{aside}")));
    let (_, metrics) = chain.run(&["metrics"]);
    for told in ["taken\"} 3", "rejected\"} 1"] {
        let told = format!("falco_inbox_lines_total{{outcome=\"{told}");
        assert!(metrics.contains(&told), "{metrics}");
    }
}
