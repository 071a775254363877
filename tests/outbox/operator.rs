//! Dead letters, and what an operator does about them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, uuid};
use crate::transport::{Peer, keys, payloads, refuse_first};

/// What a transport says of what Ably did not answer in time.
const TIMED_OUT: u32 = 50_003;

/// A chain with one dead letter and one effect published behind it.
fn with_dead_letter() -> (Chain, Daemon, Peer) {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut peer = refuse_first(&mut daemon, &mut chain.transport("test"));
    daemon.publish(2, &effect("test", "s", 2));
    assert_eq!(peer.accept_messages(1), ["2"]);
    eventually("only the dead letter is kept", || {
        let outbox = chain.outbox();
        outbox["dead"] == 1 && outbox["depth"] == 0
    });
    (chain, daemon, peer)
}

#[test]
fn what_ably_refuses_for_good_is_a_dead_letter_that_says_why_and_its_lane_goes_on() {
    let (chain, ..) = with_dead_letter();
    let listed = chain.json(&["outbox", "list", "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], uuid(1));
    assert_eq!(listed[0]["lane"], "s");
    let dead = &listed[0]["dead"];
    assert_eq!(dead["class"], "rejected");
    assert_eq!(
        (&dead["code"], &dead["attempts"]),
        (&json!(40_160), &json!(1))
    );
    assert!(listed[0].get("payload").is_none(), "only show says it");
    let shown = chain.json(&["outbox", "show", &uuid(1), "--json"]);
    assert_eq!(shown[0]["payload"], "1");
    assert_eq!(shown[0]["route"], "test");
    let (code, text) = chain.run(&["outbox", "list"]);
    assert!(
        code == 0 && text.contains("dead after 1 attempt: rejected"),
        "{text}"
    );
}

#[test]
fn the_status_says_what_to_do_about_dead_letters_for_as_long_as_there_are_some() {
    let (chain, ..) = with_dead_letter();
    let (_, text) = chain.run(&["status"]);
    let told = "\n! outbox  1 dead letter: falco outbox list --dead says why; ";
    assert!(text.contains(told), "{text}");
    assert_eq!(chain.run(&["outbox", "drop", &uuid(1)]).0, 0);
    let (_, text) = chain.run(&["status"]);
    assert!(!text.contains("dead letter"), "{text}");
}

#[test]
fn a_requeued_letter_is_published_as_it_was() {
    let (chain, _daemon, mut peer) = with_dead_letter();
    let (code, text) = chain.run(&["outbox", "requeue", &uuid(1)]);
    assert_eq!((code, text.as_str()), (0, "1 to be published again\n"));
    let request = peer.read();
    assert_eq!(
        (payloads(&request), keys(&request)),
        (vec!["1".into()], vec![uuid(1)])
    );
    peer.accept(&request);
    eventually("nothing is kept", || chain.outbox()["dead"] == 0);
    let (code, text) = chain.run(&["outbox", "requeue", &uuid(1)]);
    let unknown = "there is no such effect in the outbox";
    assert!(code == 1 && text.contains(unknown), "{text}");
}

#[test]
fn all_dead_letters_are_requeued_together_and_one_that_is_dropped_is_gone() {
    let (chain, mut daemon, mut peer) = with_dead_letter();
    daemon.publish(3, &effect("test", "s", 3));
    let refused = peer.read();
    peer.refuse(&refused, 40_160, false);
    eventually("two are dead", || chain.outbox()["dead"] == 2);
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 0);
    assert_eq!(peer.accept_messages(2), ["1", "3"]);

    daemon.publish(4, &effect("other", "s", 4));
    assert_eq!(chain.run(&["outbox", "drop", &uuid(4)]).0, 0);
    assert_eq!(chain.outbox()["depth"], 0);
    assert_eq!(chain.run(&["outbox", "drop", &uuid(4)]).0, 1);
}

#[test]
fn an_effect_that_ably_keeps_refusing_for_now_can_be_dropped_to_free_its_lane() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    daemon.publish(1, &effect("test", "s", 1));
    let refused = peer.read();
    peer.refuse(&refused, 50_000, true);
    daemon.publish(2, &effect("test", "s", 2));
    // Refused if it is on its way again by then.
    let is_dropped = || chain.run(&["outbox", "drop", &uuid(1)]).0 == 0;
    let mut dropped = is_dropped();
    let next = loop {
        let request = peer.read();
        if payloads(&request) == ["2"] {
            break request;
        }
        peer.refuse(&request, 50_000, true);
        dropped |= is_dropped();
    };
    assert!(dropped);
    peer.accept(&next);
}

#[test]
fn a_lane_whose_effect_is_tried_in_vain_is_named_by_the_status_until_it_goes_on() {
    let chain = Chain::up(OUTBOX);
    let stuck = || chain.status()["ingest"]["stuck"].clone();
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    daemon.publish(1, &effect("test", "s", 1));
    let request = peer.read();
    assert_eq!(stuck(), Value::Null, "it was not refused yet");
    // As an object set that takes longer than it may: it counts as no attempt.
    peer.refuse(&request, TIMED_OUT, true);
    let request = peer.read();
    peer.refuse(&request, TIMED_OUT, true);
    eventually("it is told", || stuck()["attempts"] == 2);
    let told = stuck();
    assert_eq!(
        (&told["lane"], &told["route"]),
        (&json!("s"), &json!("test"))
    );
    assert_eq!(
        (&told["effect_id"], &told["kept"]),
        (&json!(uuid(1)), &json!(true))
    );
    assert!(
        told["error"].as_str().expect("why").ends_with(": no"),
        "{told}"
    );
    assert_ne!(told["since_ms"], 0);
    let request = peer.read();
    peer.accept(&request);
    eventually("it goes on", || stuck() == Value::Null);
}

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

/// A stopped chain with `count` kept effects.
fn stopped_with(count: u32) -> Chain {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..count).for_each(|n| daemon.send(n, &effect("test", "s", n)));
    (0..count).for_each(|n| daemon.expect_success(n));
    chain.stop();
    chain
}

/// The names of the journal's segments.
fn segments(chain: &Chain) -> Vec<String> {
    let listed = std::fs::read_dir(chain.base().join("outbox")).expect("an outbox");
    let names = listed.map(|entry| entry.expect("an entry").file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("seg-")).collect();
    names.sort();
    names
}

#[test]
fn looking_at_a_stopped_outbox_changes_nothing_and_waits_for_nobody() {
    let chain = stopped_with(3);
    let before = segments(&chain);
    let lock = std::fs::File::open(chain.base().join("outbox/LOCK")).expect("a lock");
    lock.try_lock().expect("nobody has it");
    assert_eq!(chain.json(&["outbox", "list", "--json"]).len(), 3);
    let shown = chain.json(&["outbox", "show", &uuid(2), "--json"]);
    assert_eq!(shown[0]["payload"], "2");
    let stats = chain.json(&["outbox", "stats", "--json"]).remove(0);
    assert_eq!((&stats["depth"], &stats["lanes"]), (&json!(3), &json!(1)));
    assert!(0 < stats["oldest_age_ms"].as_u64().expect("an age"));
    assert_eq!(chain.run(&["outbox", "verify"]).0, 0);
    assert_eq!(segments(&chain), before);
    let (code, text) = chain.run(&["outbox", "drop", &uuid(2)]);
    assert!(code == 75 && text.contains("in use by"), "{code} {text}");
    drop(lock);
    assert_eq!(chain.run(&["outbox", "drop", &uuid(2)]).0, 0);
}

#[test]
fn compacting_a_stopped_outbox_without_a_gain_changes_nothing() {
    let chain = stopped_with(20);
    let before = segments(&chain);
    for _ in 0..3 {
        let (code, text) = chain.run(&["outbox", "compact"]);
        assert!(code == 0 && text.contains("all of it is needed"), "{text}");
    }
    assert_eq!(segments(&chain), before);
}

/// Four who find a stopped outbox locked each drop one effect, from `first` on;
/// returns how many did. Any other found it locked for as long as it waits.
fn drop_four(chain: &Chain, first: u32) -> usize {
    let lock = std::fs::File::open(chain.base().join("outbox/LOCK")).expect("a lock");
    lock.try_lock().expect("nobody has it");
    let drop_one = |n| {
        let mut command = chain.command(&["outbox", "drop", &uuid(n)]);
        command.stdout(Stdio::null()).spawn().expect("runs")
    };
    let drops: Vec<_> = (first..first + 4).map(drop_one).collect();
    // Longer than it takes to find it locked.
    std::thread::sleep(Duration::from_millis(500));
    drop(lock);
    let ends = drops.into_iter().map(|mut drop| drop.wait().expect("ends"));
    let codes: Vec<_> = ends.map(|end| end.code()).collect();
    let in_time_or_late = |code: &Option<i32>| matches!(code, Some(0 | 75));
    assert!(codes.iter().all(in_time_or_late), "{codes:?}");
    codes.iter().filter(|code| **code == Some(0)).count()
}

#[test]
fn those_who_change_a_stopped_outbox_wait_for_each_other() {
    const TRIES: u32 = 5;
    let chain = stopped_with(4 * TRIES);
    // A busy machine may hold up any one of them: the best of several tries counts.
    let mut dropped = 0;
    let all_did = (0..TRIES).any(|n| {
        let four = drop_four(&chain, 4 * n);
        dropped += four;
        four == 4
    });
    assert!(all_did, "only {dropped} of {} did", 4 * TRIES);
    let left = chain.json(&["outbox", "list", "--json"]).len();
    assert_eq!(left + dropped, 20);
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
fn a_damaged_outbox_says_where_and_goes_on_with_the_rest() {
    let chain = stopped_with(20);
    let segment = chain.base().join("outbox").join(&segments(&chain)[0]);
    let mut bytes = std::fs::read(&segment).expect("reads");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("writes");
    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 1 && text.contains("1 record is lost"), "{text}");
    assert!(
        text.contains(" at byte ") && text.contains("record "),
        "{text}"
    );
    let quarantine = chain.base().join("outbox/quarantine");
    assert!(!quarantine.exists(), "it changes nothing");
    assert_eq!(chain.json(&["outbox", "list", "--json"]).len(), 19);
    let says_so = |args: &[&str]| {
        let (code, text) = chain.run(args);
        let said = text.matches("damaged range told of in outbox/quarantine");
        (code, said.count())
    };
    assert_eq!(says_so(&["up"]), (0, 1));
    assert_eq!(says_so(&["up", "--quiet"]), (0, 1));
    assert_eq!(says_so(&["up", "--quiet", "--user-id", "other"]), (78, 1));
    assert_eq!(
        chain.transport("test").accept().accept_messages(19).len(),
        19
    );
    assert!(quarantine.exists());
    let told = || {
        let (code, text) = chain.run(&["status"]);
        (
            code,
            text.contains("1 damaged range told of in outbox/quarantine"),
        )
    };
    assert_eq!(told(), (1, true));

    // The segment goes with what was published; what it lost is told on.
    chain.stop();
    chain.start();
    chain.stop();
    chain.start();
    assert_eq!(told(), (1, true));
    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 1 && text.contains("quarantine"), "{text}");

    std::fs::remove_dir_all(&quarantine).expect("removed");
    chain.stop();
    chain.start();
    assert_eq!(told(), (0, false));
}

#[test]
fn a_loss_that_somebody_has_cleared_away_is_told_no_more_by_the_falco_that_found_it() {
    let chain = stopped_with(20);
    let segment = chain.base().join("outbox").join(&segments(&chain)[0]);
    let mut bytes = std::fs::read(&segment).expect("reads");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("writes");
    chain.start();
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("damaged"), "{text}");
    std::fs::remove_dir_all(chain.base().join("outbox/quarantine")).expect("removed");
    eventually("it is well", || {
        let (code, text) = chain.run(&["status"]);
        code == 0 && !text.contains("damaged")
    });
}

#[test]
fn a_torn_end_is_no_trouble_and_a_file_that_is_not_read_is_named() {
    let chain = stopped_with(3);
    let directory = chain.base().join("outbox");
    let segment = directory.join(&segments(&chain)[0]);
    let mut bytes = std::fs::read(&segment).expect("reads");
    bytes.extend_from_slice(b"{\"v\":1,\"q\":\"00");
    std::fs::write(&segment, bytes).expect("writes");
    std::fs::write(directory.join("seg-4.jsonl"), "").expect("writes");
    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 0 && text.contains("torn off"), "{text}");
    assert!(text.contains("seg-4.jsonl is not read"), "{text}");
    chain.start();
    let (code, text) = chain.run(&["status"]);
    assert!(code == 0 && !text.contains("damaged"), "{code} {text}");
}

#[test]
fn an_outbox_that_no_falco_has_open_is_as_configured() {
    let chain = Chain::up(OUTBOX);
    chain.daemon().publish(1, &effect("test", "s", 1));
    chain.stop();
    let bytes_max = || chain.json(&["outbox", "stats", "--json"])[0]["bytes_max"].clone();
    assert_eq!(bytes_max(), 1_u64 << 30);
    chain.configure("[outbox]\nmax_bytes = \"64MiB\"\n");
    assert_eq!(bytes_max(), 64_u64 << 20);
    chain.configure("[outbox]\nmax_bytes = \"none\"\n");
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 78);
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
