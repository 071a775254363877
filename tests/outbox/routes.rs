//! Several transports.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chain::{Chain, OUTBOX};
use crate::daemon::{Daemon, effect, id};
use crate::transport::{Peer, numbers, payloads};

/// A machine that is busy keeps no attempt from being answered in time.
const DIRECT: &str = "[falco]\npublish_timeout = \"60s\"\n";

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
    let chain = Chain::up(DIRECT);
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
    // Where the machine is held up for long, the moment is over in which there is
    // room for some.
    let refused = (0..5).find_map(|_| refused_behind_one_without_room());
    let (chain, mut daemon, refused) = refused.expect("what comes behind it is refused");
    let lane = refused.to_string();
    daemon.send(refused, &effect("test", &lane, 1));
    daemon.send(200_002, &effect("test", &lane, 2));
    let mut test = chain.transport("test").accept();
    let mut came = Vec::new();
    while came.len() < 2 {
        let request = test.read();
        test.accept(&request);
        if request_lane(&request) == Some(&*lane) {
            came.extend(payloads(&request));
        }
    }
    assert_eq!(came, ["1", "2"]);
}

/// A chain with room for some more effects of its route that is down, and a lane of
/// it whose effect found none before and behind which another was refused, though
/// there was room for it; `None` if not all was in time.
fn refused_behind_one_without_room() -> Option<(Chain, Daemon, u32)> {
    let chain = Chain::up(&DIRECT.replace("60s", "5s"));
    let mut daemon = chain.daemon();
    accept_all(chain.transport("other").accept());
    let (begun, mut next) = (Instant::now(), 900_000);
    // Has another effect published; returns what failed meanwhile.
    let mut another_goes_on = |daemon: &mut Daemon| {
        next += 1;
        daemon.send(next, &effect("other", "o", next));
        let mut failed = Vec::new();
        loop {
            match daemon.read() {
                (acked, Some(error)) => failed.push((acked, error)),
                published => {
                    assert_eq!(published, (id(next), None));
                    return failed;
                }
            }
        }
    };
    // These are given up after 16.5 s, and all others as much later as they come
    // later.
    for n in 0..4 {
        daemon.send(n, &effect("test", &format!("early {n}"), n));
    }
    while begun.elapsed() < Duration::from_secs(6) {
        if !another_goes_on(&mut daemon).is_empty() {
            return None;
        }
    }
    for n in 4..65_536 / 3 / 2 {
        daemon.send(n, &effect("test", &(n % 50).to_string(), n));
    }
    // One after the other finds no room, until the first are given up.
    let (mut given_up, mut refused) = (Vec::new(), 100_000);
    loop {
        daemon.send(refused + 1, &effect("test", &(refused + 1).to_string(), 1));
        let failed = another_goes_on(&mut daemon).into_iter();
        let (full, others): (Vec<_>, Vec<_>) =
            failed.partition(|(acked, _)| *acked == id(refused + 1));
        given_up.extend(others);
        let [(_, error)] = &full[..] else { break };
        assert!(error.starts_with("lane_full: too many effects wait"));
        refused += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    while given_up.len() < 4 {
        given_up.extend(another_goes_on(&mut daemon));
    }
    if refused == 100_000 || given_up.len() > 4 {
        return None;
    }
    for (n, (acked, error)) in (0..).zip(&given_up) {
        assert_eq!(*acked, id(n), "{error}");
        assert!(error.starts_with("throttled: "), "{error}");
    }
    daemon.send(200_002, &effect("test", &refused.to_string(), 2));
    let (acked, error) = daemon.read();
    let is_behind = error?.starts_with("lane_full: not sent, because ");
    (acked == id(200_002) && is_behind).then_some((chain, daemon, refused))
}

/// Accepts what comes until nothing can come any more. After a while without an
/// answer the same comes again.
fn accept_all(mut peer: Peer) {
    std::thread::spawn(move || {
        let mut line = String::new();
        while peer.lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            peer.accept(&serde_json::from_str(&line).expect("JSON"));
            line.clear();
        }
    });
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
