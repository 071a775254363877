//! Several transports.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chain::{Chain, OUTBOX};
use crate::daemon::{Daemon, effect};
use crate::transport::{numbers, payloads};

const DIRECT: &str = "[falco]\npublish_timeout = \"1s\"\n";

#[test]
fn a_route_nobody_configured_is_refused_in_both_modes() {
    for toml in [DIRECT, OUTBOX] {
        let chain = Chain::up(toml);
        let mut daemon = chain.daemon();
        daemon.send(1, &effect("nowhere", "s", 1));
        daemon.expect_failed(1, "rejected: there is no route \"nowhere\"");
    }
}

#[test]
fn the_outage_of_one_route_delays_no_other() {
    for toml in [DIRECT, OUTBOX] {
        let chain = Chain::up(toml);
        let mut daemon = chain.daemon();
        let mut other = chain.transport("other").accept();
        for n in 0..50 {
            daemon.send(1000 + n, &effect("test", "s", n));
            daemon.send(n, &effect("other", "s", n));
        }
        assert_eq!(other.accept_messages(50), numbers(50));
    }
}

#[test]
fn a_route_that_is_down_takes_no_more_than_its_share_and_delays_no_other() {
    let chain = Chain::up("");
    let mut daemon = chain.daemon();
    let mut other = chain.transport("other").accept();
    // Of the three routes each has a third of 65 536 effects, and half of that
    // may stand still.
    let (share, count) = (65_536 / 3 / 2, 12_000);
    for n in 0..count {
        let lane = (n % 50).to_string();
        daemon.send(n, &effect("test", &lane, n));
    }
    daemon.send(count, &effect("other", "s", count));
    let request = other.read();
    assert_eq!(payloads(&request), [count.to_string()]);
    other.accept(&request);
    for n in share..count {
        daemon.expect_failed(
            n,
            "lane_full: too many effects wait in lanes that stand still",
        );
    }
    daemon.expect_success(count);
}

#[test]
fn what_comes_behind_an_effect_that_found_no_room_does_not_overtake_it() {
    let chain = Chain::up(DIRECT);
    let mut daemon = chain.daemon();
    let mut other = chain.transport("other").accept();
    let (begun, mut next) = (Instant::now(), 900_000);
    let mut until = |daemon: &mut Daemon, moment| {
        while begun.elapsed() < moment {
            next += 1;
            daemon.send(next, &effect("other", "o", next));
            let request = other.read();
            other.accept(&request);
            daemon.expect_success(next);
        }
    };
    // These two are given up after 4.5 s, and all others later.
    for n in 0..2 {
        daemon.send(n, &effect("test", &format!("early {n}"), n));
    }
    until(&mut daemon, Duration::from_secs(1));
    for n in 2..65_536 / 3 / 2 {
        daemon.send(n, &effect("test", &(n % 50).to_string(), n));
    }
    until(&mut daemon, Duration::from_millis(3500));
    daemon.send(100_001, &effect("test", "s", 1));
    daemon.expect_failed(100_001, "lane_full: too many effects wait");
    daemon.expect_failed(0, "throttled: ");
    daemon.expect_failed(1, "throttled: ");
    daemon.send(100_002, &effect("test", "s", 2));
    daemon.expect_failed(100_002, "lane_full: too many effects wait");
    for n in 1..=2 {
        daemon.send(100_000 + n, &effect("test", "s", n));
    }
    let mut test = chain.transport("test").accept();
    let mut of_s = Vec::new();
    while of_s.len() < 2 {
        let request = test.read();
        test.accept(&request);
        if request_lane(&request) == Some("s") {
            of_s.extend(payloads(&request));
        }
    }
    assert_eq!(of_s, ["1", "2"]);
}

/// The channel it goes to, which has the name of its lane.
fn request_lane(request: &Value) -> Option<&str> {
    request["channel"].as_str()
}

#[test]
fn without_a_route_an_effect_takes_the_chains_own_transport() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    daemon.publish(1, r#"{"type":"t","channel":"c","payload":1}"#);
    crate::chain::eventually("it is published", || chain.outbox()["published"] == 1);
}
