//! A transport that goes away, or is not there at all.

use std::time::{Duration, Instant};

use super::publish;
use crate::falco::Falco;

#[test]
fn a_lost_connection_burns_no_attempt_and_the_same_request_comes_again() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    daemon.send(1, &publish("s", 1));
    daemon.send(2, &publish("other", 2));
    let first = peer.read();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(1050));
        drop(peer);
        peer = transport.accept_ours();
        let again = peer.read();
        assert_eq!(again.payload(), "1");
        assert_eq!(again.text("message_id"), first.text("message_id"));
        assert_eq!(peer.read().payload(), "2");
    }
    drop(peer);
    assert_eq!(transport.accept_ours().accept_messages(2).len(), 2);
    daemon.expect_success(1);
    daemon.expect_success(2);
}

#[test]
fn an_effect_that_kills_the_transport_fails_and_harms_nobody_else() {
    let falco = Falco::start_with(&[]);
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    for n in 0..20 {
        daemon.send(n, &publish(&n.to_string(), n));
    }
    // Dies, without an answer, over every request that holds a 7.
    std::thread::spawn(move || {
        loop {
            let mut peer = transport.accept_ours();
            while let Some(request) = peer.read_within(Duration::from_secs(2)) {
                if request.payload() == "7" {
                    break;
                }
                peer.accept(&request);
            }
        }
    });
    let mut acks: Vec<_> = (0..20).map(|_| daemon.read()).collect();
    acks.sort_by_key(|ack| ack.id);
    let killer = acks.remove(7);
    assert!(killer.error.starts_with("ambiguous: "), "{killer:?}");
    assert!(acks.iter().all(|ack| ack.ok), "{acks:?}");
}

#[test]
fn without_a_transport_the_answer_comes_at_the_deadline() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    let sent = Instant::now();
    daemon.send(1, &publish("s", 1));
    daemon.expect_failed(
        1,
        "throttled",
        "publish failed after retries: transport not available",
    );
    let waited = sent.elapsed();
    assert!(waited >= Duration::from_millis(4400), "{waited:?}");
}
