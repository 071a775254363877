//! What stands still, and that nobody else waits for it.

use std::time::{Duration, Instant};

use super::publish;
use crate::daemon::{Daemon, frames, id};
use crate::falco::Falco;
use crate::transport::Peer;

/// Has others answered for so long that what is out for longer is alone in it.
fn others_go_on(daemon: &mut Daemon, peer: &mut Peer) {
    let begun = Instant::now();
    for n in 10_000.. {
        daemon.send(n, &publish("others", n));
        let request = peer.read();
        peer.accept(&request);
        daemon.expect_success(n);
        if Duration::from_millis(500) < begun.elapsed() {
            return;
        }
    }
}

#[test]
fn sessions_that_die_with_much_on_their_way_delay_no_other_and_nothing_is_refused_for_that() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    let begun = Instant::now();
    for (dies, first) in [("one", 0), ("another", 7000)] {
        for n in first..first + 7000 {
            daemon.send(n, &publish(dies, n));
        }
        peer.read();
    }
    // Nothing was answered yet, by which one could tell them from others.
    daemon.send(14_000, &publish("other", 14_000));
    let other = peer.read();
    assert_eq!(other.payload(), "14000");
    peer.accept(&other);
    daemon.expect_success(14_000);
    // Their first attempts are not over yet.
    assert!(begun.elapsed() < Duration::from_secs(50));
}

#[test]
fn what_a_lane_holds_beyond_its_bound_is_refused_once_it_is_known_to_stand_still() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    for n in 0..5000 {
        daemon.send(n, &publish("still", n));
    }
    peer.read();
    let (begun, mut refused) = (Instant::now(), Vec::new());
    for n in 5000.. {
        daemon.send(n, &publish("other", n));
        let other = peer.read();
        peer.accept(&other);
        loop {
            let ack = daemon.read();
            if ack.id == id(n) {
                assert!(ack.ok, "{ack:?}");
                break;
            }
            let text = "lane_full: its lane has 4096 effects waiting already";
            assert_eq!((ack.ok, &*ack.error), (false, text));
            refused.push(ack.id);
        }
        // Its first attempt is not over yet.
        assert!(begun.elapsed() < Duration::from_secs(50));
        if 5000 <= 4096 + refused.len() {
            break;
        }
    }
    assert_eq!(refused, (4096..5000).map(id).collect::<Vec<_>>());
}

#[test]
fn what_waits_for_an_effect_that_stands_still_keeps_nobody_waiting_either() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("still", 1));
    let first = peer.read();
    others_go_on(&mut daemon, &mut peer);
    for _ in 1..5000 {
        daemon.send(1, &publish("still", 1));
    }
    daemon.send(2, &publish("other", 2));
    let other = peer.read();
    assert_eq!(other.payload(), "2");
    peer.accept(&other);
    daemon.expect_success(2);
    peer.accept(&first);
    for _ in 0..5000 {
        daemon.expect_success(1);
    }
}

#[test]
fn a_daemon_that_reads_no_acks_is_not_read_for_ever_and_slows_nobody_else() {
    let falco = Falco::start();
    let transport = falco.transport();
    let pump = std::thread::spawn(move || {
        let mut transport = transport;
        let mut peer = transport.accept_ours();
        while let Some(request) = peer.read_soon() {
            peer.accept(&request);
        }
    });
    let mut deaf = falco.daemon();
    deaf.stream.set_nonblocking(true).expect("nonblocking");
    let many = frames(1000, "c");
    let mut taken = 0;
    let mut last_taken = Instant::now();
    while last_taken.elapsed() < Duration::from_millis(500) {
        match std::io::Write::write(&mut deaf.stream, &many[taken % many.len()..]) {
            Ok(bytes) => {
                taken += bytes;
                last_taken = Instant::now();
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        let bound = 64 * 1024 * 1024;
        assert!(taken < bound, "falco reads on though nobody takes its acks");
    }
    let mut other = falco.daemon();
    other.send(1, "{}");
    other.expect_failed(1, "rejected", "missing event");
    pump.join().expect("pump");
}
