//! Several transports.

use crate::chain::{Chain, OUTBOX};
use crate::daemon::effect;
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
fn without_a_route_an_effect_takes_the_chains_own_transport() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    daemon.publish(1, r#"{"type":"t","channel":"c","payload":1}"#);
    crate::chain::eventually("it is published", || chain.outbox()["published"] == 1);
}
