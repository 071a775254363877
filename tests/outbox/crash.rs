//! Kept means kept: over kills, stops, and a change of mind.

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::{effect, uuid};
use crate::transport::{keys, numbers, refuse_first};

const DIRECT: &str = "[falco]\npublish_timeout = \"60s\"\n[outbox]\nresume_grace = \"0s\"\n";

#[test]
fn what_was_acked_survives_a_kill_and_is_published_in_order_with_its_ids() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    for n in 0..50 {
        daemon.publish(n, &effect("test", "s", n));
    }
    chain.kill();
    chain.start();
    let mut peer = chain.transport("test").accept();
    let first = peer.read();
    assert_eq!(keys(&first)[0], uuid(0));
    peer.accept(&first);
    let before = keys(&first).len();
    assert_eq!(
        peer.accept_messages(50 - before),
        numbers(50)[before..],
        "in order"
    );
    let mut daemon = chain.daemon();
    daemon.publish(49, &effect("test", "s", 49));
    daemon.publish(50, &effect("test", "s", 50));
    assert_eq!(peer.accept_messages(1), ["50"], "49 is known");
}

#[test]
fn dead_letters_survive_too_and_are_seen_and_mended_while_nothing_runs() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    let peer = refuse_first(&mut daemon, &mut chain.transport("test"));
    eventually("it is dead", || chain.outbox()["dead"] == 1);
    daemon.publish(2, &effect("other", "s", 2));
    chain.stop();

    let listed = chain.json(&["outbox", "list", "--json"]);
    assert_eq!(listed[0]["dead"]["code"], 40_160);
    assert_eq!(listed[1]["id"], uuid(2));
    let shown = chain.json(&["outbox", "show", &uuid(1), "--json"]);
    assert_eq!(shown[0]["payload"], "1");
    assert_eq!(chain.run(&["outbox", "verify"]).0, 0);
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 0);
    assert_eq!(chain.run(&["outbox", "drop", &uuid(2)]).0, 0);

    drop(peer);
    chain.start();
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(1), ["1"]);
    eventually("nothing is kept", || chain.outbox()["depth"] == 0);
}

#[test]
fn what_an_outbox_has_left_is_published_also_in_direct_mode_and_before_anything_new() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..3).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    chain.stop();
    chain.configure(DIRECT);
    chain.start();
    let mut daemon = chain.daemon();
    daemon.send(9, &effect("test", "s", 9));
    daemon.expect_failed(9, "throttled: what an earlier run has left");
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(3), numbers(3));
    eventually("nothing is kept", || chain.outbox()["depth"] == 0);
    drop(peer);
    daemon.send(9, &effect("test", "s", 9));
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(1), ["9"]);
    daemon.expect_success(9);
}

#[test]
fn an_effect_whose_route_is_gone_is_a_dead_letter_until_the_route_is_back() {
    let chain = Chain::up(OUTBOX);
    chain.daemon().publish(1, &effect("other", "s", 1));
    chain.stop();
    let toml = chain.base().join("falco.toml");
    let with_routes = std::fs::read_to_string(&toml).expect("reads");
    let without = with_routes.replace("name = \"other\"", "name = \"another\"");
    std::fs::write(&toml, without).expect("writes");
    chain.start();
    eventually("it is dead", || chain.outbox()["dead"] == 1);
    chain.stop();
    std::fs::write(&toml, with_routes).expect("writes");
    chain.start();
    assert_eq!(chain.run(&["outbox", "requeue", "--all"]).0, 0);
    assert_eq!(chain.transport("other").accept().accept_messages(1), ["1"]);
}
