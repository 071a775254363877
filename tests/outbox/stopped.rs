//! An outbox that no Falco has open: looked at, changed, and damaged meanwhile.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};

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
pub(crate) fn segments(chain: &Chain) -> Vec<String> {
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
