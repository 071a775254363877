//! What another configuration means for what is kept.

use std::fs;
use std::io::BufRead as _;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::inbox::{append, drop_file, inbox, is_there, lines, up};
use crate::transport::refuse_first;

const DIRECT: &str = "[delivery]\nmode = \"direct\"\n";

fn reload(chain: &Chain) -> String {
    let (code, text) = chain.run(&["reload"]);
    assert_eq!(code, 0, "{text}");
    text
}

#[test]
fn back_in_direct_mode_an_outbox_drains_and_then_says_that_only_dead_letters_are_left() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let mut transport = chain.transport("test");
    let _peer = refuse_first(&mut daemon, &mut transport);
    eventually("it is dead", || chain.outbox()["dead"] == 1);
    daemon.publish(2, &effect("test", "s", 2));
    chain.configure(DIRECT);
    reload(&chain);
    assert_eq!(chain.outbox()["state"], "draining");
    // One for what is kept and one for what comes, in any order.
    let peers = [transport.accept(), transport.accept()];
    for mut peer in peers {
        std::thread::spawn(move || {
            let mut line = String::new();
            if peer.lines.read_line(&mut line).is_ok_and(|bytes| 0 < bytes) {
                peer.accept(&serde_json::from_str(&line).expect("JSON"));
            }
        });
    }
    eventually("it is drained", || chain.outbox()["state"] == "drained");
    let (code, text) = chain.run(&["status"]);
    assert!(text.contains("outbox    drained · 0 kept"), "{text}");
    assert_eq!(code, 0, "a dead letter is no trouble: {text}");
}

#[test]
fn in_direct_mode_files_in_the_inbox_are_told_and_those_taken_before_are_not() {
    let chain = up();
    let mut peer = chain.transport("test").accept();
    append(&chain, lines([1]));
    assert_eq!(peer.accept_messages(1), ["1"]);
    eventually("it is published", || chain.outbox()["depth"] == 0);
    drop(peer);
    chain.configure(DIRECT);
    reload(&chain);
    assert_eq!(chain.run(&["status"]).0, 0, "all of it was taken");

    drop_file(&chain, "a.jsonl", lines([2]));
    let (code, text) = chain.run(&["status"]);
    let told = "! inbox   nothing is taken from it: delivery.mode = \"outbox\" does that";
    assert!(code == 1 && text.contains(told), "{text}");
    assert!(text.contains("1 file waits"), "{text}");
    append(&chain, lines([3]));
    assert_eq!(chain.outbox()["inbox"]["waiting"], 2);

    chain.configure(OUTBOX);
    reload(&chain);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(2), ["2", "3"]);
    eventually("it is put away", || is_there(&chain, "done/a.jsonl"));
    assert!(inbox(&chain).join("external.jsonl").exists());
}

#[test]
fn a_route_that_is_gone_leaves_dead_letters_of_which_everybody_is_told() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (1..=3).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    daemon.publish(4, &effect("other", "s", 4));
    let toml = fs::read_to_string(chain.base().join("falco.toml")).expect("a file");
    let without = toml.replacen("name = \"test\"", "name = \"tset\"", 1);
    fs::write(chain.base().join("falco.toml"), without).expect("writes");
    let told = "3 dead letters left by a route that is gone: falco outbox list --dead --base-dir /";
    let text = reload(&chain);
    assert!(text.contains(told), "{text}");
    let (code, text) = chain.run(&["status"]);
    assert!(code == 0 && text.contains(told), "{text}");
    eventually("it is an event", || {
        let (_, events) = chain.run(&["events"]);
        events.contains("route test is gone, and left 3 dead letters")
    });
    let (_, text) = chain.run(&["outbox", "list", "--dead"]);
    assert_eq!(text.matches("there is no route \"test\"").count(), 3);
    // Who would publish them?
    for ids in [&[uuid(1)][..], &["--all".to_owned()]] {
        let requeue = ["outbox", "requeue"].into_iter();
        let typed: Vec<_> = requeue.chain(ids.iter().map(String::as_str)).collect();
        let (code, text) = chain.run(&typed);
        assert!(code == 1 && text.contains("its route is gone"), "{text}");
    }
    assert_eq!(chain.outbox()["dead"], 3);
    let (_, text) = chain.run(&["outbox", "list"]);
    assert_eq!(text.matches("  s (route other)\n").count(), 1, "{text}");
    // It is told once by a reload, and by the status as long as they are there.
    assert!(!reload(&chain).contains("dead letter"));

    fs::write(chain.base().join("falco.toml"), toml).expect("writes");
    assert!(!reload(&chain).contains("dead letter"));
    assert_eq!(chain.run(&["outbox", "requeue", &uuid(1)]).0, 0);
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(1), ["1"]);
}
