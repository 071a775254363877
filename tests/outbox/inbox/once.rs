//! Lines that could be taken or counted twice, and are not.

use std::fs;

use super::{append, drop_file, expect_nothing_else, inbox, is_there, lines, up};
use crate::chain::eventually;
use crate::daemon::effect;
use crate::transport::payloads;

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
