//! The attempts an effect has, and the answers that end them.

use std::time::{Duration, Instant};

use super::publish;
use crate::falco::Falco;

#[test]
fn three_attempts_half_a_second_apart_then_failed_with_all_behind() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("s", 1));
    let mut request = peer.read();
    daemon.send(2, &publish("s", 2));
    for _ in 0..2 {
        let refused = Instant::now();
        peer.refuse(&request, "connection lost");
        let again = peer.read();
        assert!(refused.elapsed() >= Duration::from_millis(490));
        assert_eq!(again.payload(), "1");
        assert_eq!(again.text("message_id"), request.text("message_id"));
        assert_ne!(again.text("request_id"), request.text("request_id"));
        request = again;
    }
    peer.refuse(&request, "connection lost");
    daemon.expect_failed(
        1,
        "ambiguous",
        "publish failed after retries: connection lost",
    );
    daemon.expect_failed(2, "throttled", "publish failed after retries: ");
}

#[test]
fn a_definite_rejection_is_not_retried_and_costs_only_its_own_effect() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("s", 1));
    let request = peer.read();
    daemon.send(2, &publish("s", 2));
    peer.refuse(&request, "[ErrorInfo :denied code=40160 statusCode=401]");
    daemon.expect_failed(
        1,
        "rejected",
        "publish rejected: [ErrorInfo :denied code=40160",
    );
    let request = peer.read();
    assert_eq!(request.payload(), "2");
    peer.accept(&request);
    daemon.expect_success(2);
}

#[test]
fn a_transport_that_never_answers_costs_three_timeouts_and_a_late_answer_still_counts() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("a", 1));
    for _ in 0..3 {
        assert_eq!(peer.read().payload(), "1");
    }
    daemon.expect_failed(
        1,
        "ambiguous",
        "publish failed after retries: no answer within 1s",
    );

    daemon.send(2, &publish("b", 2));
    let first = peer.read();
    let _second = peer.read();
    peer.accept(&first);
    daemon.expect_success(2);
}

#[test]
fn what_was_answered_while_falco_was_stopped_is_heard_before_its_time_is_over() {
    let falco = Falco::start_impatient();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    for n in 1..=2 {
        daemon.send(n, &publish("a", n));
        let request = peer.read();
        assert_eq!(request.payload(), n.to_string());
        falco.signal("STOP");
        peer.accept(&request);
        // Longer than all its attempts may take.
        assert!(peer.read_within(Duration::from_secs(5)).is_none());
        falco.signal("CONT");
        daemon.expect_success(n);
    }
    daemon.send(3, &publish("a", 3));
    assert_eq!(peer.read().payload(), "3", "nothing was sent again");
}
