//! What is asked for by its id, and lists: what is said, and how much of it.

use serde_json::json;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::operator::with_dead_letter;
use crate::stopped::segments;

#[test]
fn what_others_wrote_moves_no_cursor_of_the_terminal_that_lists_it() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    let evil = r"\u001b[2J\u009b1A\u0007";
    let json = format!(
        r#"{{"type":"t{evil}","route":"test","session_id":"s{evil}","channel":"s{evil}","payload":"p\u202e{evil}"}}"#
    );
    // A payload is kept byte for byte: this one has them unescaped.
    let json = json
        .replace(r"\u202e", "\u{202e}")
        .replace(r"\u009b", "\u{9b}");
    daemon.publish(1, &json);
    let refused = peer.read();
    peer.refuse(&refused, 40_160, false);
    eventually("it is dead", || chain.outbox()["dead"] == 1);
    let id = uuid(1);
    for verb in [&["outbox", "list"][..], &["outbox", "show", &id]] {
        let (code, text) = chain.run(verb);
        assert_eq!(code, 0, "{text:?}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(acts), "{text:?}");
        assert!(text.contains(r"s\u{1b}[2J\u{9b}1A\u{7}"), "{text:?}");
    }
}

#[test]
fn the_base_directory_may_be_named_behind_any_verb_of_the_outbox() {
    let chain = Chain::up(OUTBOX);
    let base = chain.base();
    let base = base.to_str().expect("text");
    for verb in ["list", "verify", "stats"] {
        for words in [
            ["outbox", verb, "--base-dir", base],
            ["outbox", "--base-dir", base, verb],
        ] {
            let mut command = chain.command(&words);
            // What is said counts more than what is set.
            let output = command.env("UNBOUND_BASE_DIR", "/nowhere").output();
            let output = output.expect("runs");
            assert!(output.status.success(), "{words:?}: {output:?}");
        }
    }
}

#[test]
fn a_payload_of_a_megabyte_is_shown_by_falco_and_from_disk() {
    let chain = Chain::up(OUTBOX);
    let text = "\\\"x".repeat(300_000);
    let json = format!(
        r#"{{"type":"t","route":"test","session_id":"s","channel":"s","payload":"{text}"}}"#
    );
    chain.daemon().publish(1, &json);
    let shown = || chain.json(&["outbox", "show", &uuid(1), "--json"]);
    let payload = format!("\"{text}\"");
    assert!(shown()[0]["payload"] == payload.as_str());
    chain.stop();
    assert!(shown()[0]["payload"] == payload.as_str());
}

#[test]
fn thousands_of_effects_are_listed_and_dropped_while_falco_runs_and_while_it_does_not() {
    const COUNT: u32 = 5000;
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..COUNT).for_each(|n| daemon.send(n, &effect("test", "s", n)));
    (0..COUNT).for_each(|n| daemon.expect_success(n));
    let ids = |from, to| (from..to).map(uuid).collect::<Vec<_>>();
    let drop_all = |ids: &[String]| {
        let args = ["outbox", "drop"].into_iter();
        let args: Vec<_> = args.chain(ids.iter().map(String::as_str)).collect();
        chain.run(&args)
    };
    let listed = |limit| chain.json(&["outbox", "list", "--json", "-n", limit]).len();
    assert_eq!(listed("100000"), 5000);
    assert_eq!(listed("1234"), 1234);
    let (_, text) = chain.run(&["outbox", "list", "-n", "3"]);
    assert!(text.contains("and more"), "{text}");
    let dropped = drop_all(&ids(0, 2500));
    assert_eq!(dropped, (0, "2500 dropped\n".to_owned()));
    chain.stop();
    assert_eq!(listed("100000"), 2500);
    let dropped = drop_all(&ids(2500, 4900));
    assert_eq!(dropped, (0, "2400 dropped\n".to_owned()));
    let before = chain.json(&["outbox", "stats", "--json"])[0]["bytes"].clone();
    let files = segments(&chain).len();
    let told = chain.json(&["outbox", "compact", "--json"]).remove(0);
    assert_eq!(told["bytes_before"], before);
    assert!(
        told["bytes"].as_u64() < before.as_u64().map(|b| b / 2),
        "{told}"
    );
    assert!(segments(&chain).len() <= files);
    let left = chain.json(&["outbox", "list", "--json", "-n", "1000"]);
    assert_eq!((left.len(), &left[0]["id"]), (100, &json!(uuid(4900))));
}

#[test]
fn a_list_of_nothing_is_a_mistake_and_a_whole_one_says_nothing_of_more() {
    let (chain, ..) = with_dead_letter();
    for verb in ["outbox", "lane"] {
        let (code, text) = chain.run(&[verb, "list", "-n", "0"]);
        assert!(code == 2 && text.contains("give 1 or more"), "{text}");
        let (code, text) = chain.run(&[verb, "list", "-n", "1"]);
        assert!(code == 0 && !text.contains("more"), "{text}");
    }
}

#[test]
fn what_is_no_id_is_a_slip_of_the_command_line_and_nothing_is_done() {
    let chain = Chain::up(OUTBOX);
    chain.daemon().publish(1, &effect("test", "s", 1));
    for verb in ["show", "requeue", "drop"] {
        let (code, text) = chain.run(&["outbox", verb, &uuid(1), "nonsense"]);
        assert!(code == 2 && text.contains("no effect id"), "{text}");
    }
    assert_eq!(chain.json(&["outbox", "list", "--json"]).len(), 1);
}

#[test]
fn ids_that_are_not_there_are_told_one_by_one_and_the_others_are_done() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..3).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    let refused = |text: &str| text.contains(&format!("{}: there is no such effect", uuid(99)));
    for n in 0..2 {
        let (code, text) = chain.run(&["outbox", "drop", &uuid(n), &uuid(99)]);
        assert!(code == 1 && refused(&text), "{text}");
        assert!(text.starts_with("1 dropped\n"), "{text}");
        let (code, text) = chain.run(&["outbox", "show", &uuid(2), &uuid(99)]);
        assert!(code == 1 && text.contains("no such effect"), "{text}");
        assert!(text.contains("payload   2"), "{text}");
        if n == 0 {
            chain.stop();
        }
    }
}

#[test]
fn an_id_that_is_given_twice_counts_once_while_falco_runs_and_while_it_does_not() {
    let (chain, ..) = with_dead_letter();
    let (id, other) = (uuid(1), uuid(1).to_uppercase());
    let requeued = chain.run(&["outbox", "requeue", &id, &other, &id]);
    assert_eq!(requeued, (0, "1 to be published again\n".to_owned()));
    chain.stop();
    let dropped = chain.run(&["outbox", "drop", &id, &other]);
    assert_eq!(dropped, (0, "1 dropped\n".to_owned()));
}

#[test]
fn every_verb_says_the_same_of_an_id_that_is_nobodys() {
    let (chain, ..) = with_dead_letter();
    let (id, other) = (uuid(99), uuid(98));
    for runs in [true, false] {
        for verb in ["show", "requeue", "drop"] {
            let (code, text) = chain.run(&["outbox", verb, &id, &other]);
            let none = "there is no such effect in the outbox";
            let told = format!("error: {id}: {none}; {other}: {none}\n");
            assert_eq!(code, 1, "{verb}, running: {runs}");
            assert!(text.ends_with(&told), "{verb}, running: {runs}: {text}");
        }
        if runs {
            chain.stop();
        }
    }
}
