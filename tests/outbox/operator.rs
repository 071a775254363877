//! Effects that Ably does not take, and what an operator does about them.

use serde_json::{Value, json};

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, uuid};
use crate::transport::{Peer, keys, payloads, refuse_first};

/// What a transport says of what Ably did not answer in time.
const TIMED_OUT: u32 = 50_003;

/// A chain with one dead letter and one effect published behind it.
pub(crate) fn with_dead_letter() -> (Chain, Daemon, Peer) {
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
    let told = format!(
        "\n! outbox  1 dead letter: falco outbox list --dead --base-dir {} says why; ",
        chain.base().display()
    );
    assert!(text.contains(&told), "{text}");
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

/// Reads requests and refuses them for now, until each of these payloads was first
/// in one.
fn refuse_all(peer: &mut Peer, wanted: &[&str]) {
    let mut left = wanted.to_vec();
    while !left.is_empty() {
        let request = peer.read();
        left.retain(|one| *one != payloads(&request)[0]);
        peer.refuse(&request, TIMED_OUT, true);
    }
}

#[test]
fn lanes_that_stand_still_are_listed_the_longest_first_with_why_and_what_waits() {
    let chain = Chain::up(OUTBOX);
    let stuck = || chain.json(&["lane", "list", "--stuck", "--json"]);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    assert_eq!(stuck(), [Value::Null; 0]);
    let (code, text) = chain.run(&["lane", "list", "--stuck"]);
    assert_eq!((code, text.as_str()), (0, ""));
    for (number, lane) in [(1, "a"), (2, "b"), (3, "c")] {
        daemon.publish(number, &effect("test", lane, number));
        refuse_all(&mut peer, &[&number.to_string()]);
        eventually("it is told", || stuck().len() == number as usize);
    }
    // More than is loaded of one lane at once, which is not looked at while it
    // stands still.
    (4..=103).for_each(|number| daemon.publish(number, &effect("test", "b", number)));
    let listed = stuck();
    let of = |field: &str| -> Vec<_> { listed.iter().map(|lane| lane[field].clone()).collect() };
    assert_eq!(of("lane"), ["a", "b", "c"]);
    assert_eq!(of("waiting"), [0, 100, 0]);
    assert_eq!(of("effect_id"), [uuid(1), uuid(2), uuid(3)]);
    assert_eq!(of("route"), ["test"; 3]);
    assert_eq!(of("kept"), [true; 3]);
    assert!(
        listed
            .iter()
            .all(|lane| 0 < lane["attempts"].as_u64().expect("a count"))
    );
    assert!(of("since_ms").is_sorted_by_key(Value::as_u64));
    assert_eq!(chain.json(&["lane", "list", "--json"]), [Value::Null; 0]);

    let (_, text) = chain.run(&["lane", "list", "--stuck", "-n", "2"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("a (route test)  for "), "{text}");
    let tried = format!("  tried {} ", uuid(2));
    assert!(lines[1].contains(&tried), "{text}");
    assert!(lines[1].contains(", 100 kept behind it: "), "{text}");
    assert_eq!(lines[2], "… and 1 more: -n COUNT lists more than 2");

    chain.stop();
    let (code, text) = chain.run(&["lane", "list", "--stuck"]);
    assert!(
        code == 3 && text.contains("falco is not running"),
        "{code} {text}"
    );
}

#[test]
fn without_an_outbox_the_lanes_that_stand_still_are_listed_until_their_daemon_is_answered() {
    let chain = Chain::up("");
    let stuck = || chain.json(&["lane", "list", "--stuck", "--json"]);
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    daemon.send(1, &effect("test", "s", 1));
    refuse_all(&mut peer, &["1"]);
    eventually("it is told", || stuck().len() == 1);
    assert_eq!(stuck()[0]["kept"], false);
    let (_, text) = chain.run(&["lane", "list", "--stuck"]);
    assert!(text.contains(", 0 behind it: "), "{text}");
    let request = peer.read();
    peer.accept(&request);
    eventually("it goes on", || stuck().is_empty());
}
