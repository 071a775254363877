//! What leaves a lane when, and in which requests.

use super::publish;
use crate::daemon::frames;
use crate::falco::Falco;

#[test]
fn what_waits_in_a_lane_leaves_as_one_batch_with_numbered_ids() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(0, &publish("s", 0));
    let first = peer.read();
    assert_eq!(first.text("op"), "publish.v1");
    for n in 1..=3 {
        daemon.send(n, &publish("s", n));
    }
    assert!(peer.read_soon().is_none(), "one in flight in a lane");
    peer.accept(&first);
    let batch = peer.read();
    assert_eq!(batch.text("op"), "publish.batch.v1");
    assert_eq!(batch.payloads(), [b"1", b"2", b"3"]);
    let messages = batch.0["messages"].as_array().expect("messages");
    let ids: Vec<_> = messages
        .iter()
        .map(|m| m["message_id"].as_str().expect("id"))
        .collect();
    let (base, _) = ids[0].split_once(':').expect("base:index");
    assert_eq!(ids, [0, 1, 2].map(|n| format!("{base}:{n}")));
    peer.accept(&batch);
    for n in 0..=3 {
        daemon.expect_success(n);
    }
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    for n in 0..3 {
        daemon.send(n, &publish(&n.to_string(), n));
    }
    let requests: Vec<_> = (0..3).map(|_| peer.read()).collect();
    peer.accept(&requests[2]);
    daemon.expect_success(2);
    peer.accept(&requests[0]);
    daemon.expect_success(0);
}

#[test]
fn an_old_transport_gets_single_publishes_after_its_silence() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    daemon.write(&frames(3, "c"));
    let mut peer = falco.transport().accept();
    for n in 0..3 {
        let request = peer.read();
        assert_eq!(request.text("op"), "publish.v1");
        assert_eq!(request.payload(), n.to_string());
        peer.accept(&request);
        daemon.expect_success(n);
    }
}
