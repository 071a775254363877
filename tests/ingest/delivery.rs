//! Order, retries and outages, as a transport sees them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::daemon::{Daemon, frames, id};
use crate::falco::Falco;
use crate::transport::Peer;

fn publish(session: &str, payload: u32) -> String {
    format!(r#"{{"type":"t","session_id":"{session}","channel":"c","payload":{payload}}}"#)
}

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

#[test]
fn garbage_from_the_transport_changes_nothing() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut peer = falco.transport().accept_ours();
    daemon.send(1, &publish("s", 1));
    let request = peer.read();
    let id = request.text("request_id");
    let other_ops = ["subscribe.ack.v1", "message.v1", "error.v1", ""]
        .map(|op| format!("{{\"op\":\"{op}\",\"request_id\":\"{id}\",\"ok\":true}}\n"))
        .concat();
    let longest = format!(
        "{{\"op\":\"x\",\"error\":\"{}\"}}\n",
        "x".repeat(3 * 1024 * 1024)
    );
    for garbage in [
        b"\n\n not json \n\xff\xfe\n[]\n{}\n".as_slice(),
        b"{\"op\":\"publish.ack.v1\",\"request_id\":\"99.99.1\",\"ok\":true}\n",
        b"{\"op\":\"publish.ack.v1\",\"request_id\":\"unknown\",\"ok\":true}\n",
        b"{\"op\":\"publish.ack.v1\",\"request_id\":5,\"ok\":true}\n",
        other_ops.as_bytes(),
        longest.as_bytes(),
    ] {
        peer.write_raw(garbage);
    }
    daemon.expect_silence();
    let answer =
        json!({"op": "publish.ack.v1", "request_id": id, "ok": true, "code": "0", "extra": [1]});
    let twice = format!("{answer}\r\n{answer}\n");
    peer.write_raw(twice.as_bytes());
    daemon.expect_success(1);
    daemon.send(2, &publish("s", 2));
    let request = peer.read();
    assert_eq!(request.payload(), "2");
    peer.accept(&request);
    daemon.expect_success(2);
}

#[test]
fn a_line_without_end_costs_the_connection_and_no_effect() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    daemon.send(1, &publish("s", 1));
    _ = peer.read();
    let endless = vec![b'x'; 64 * 1024];
    while std::io::Write::write_all(&mut peer.stream, &endless).is_ok() {}
    assert_eq!(transport.accept_ours().accept_messages(1), [b"1"]);
    daemon.expect_success(1);
}

#[test]
fn a_close_in_the_middle_of_an_answer_is_no_answer() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    let mut transport = falco.transport();
    let mut peer = transport.accept_ours();
    daemon.send(1, &publish("s", 1));
    let request = peer.read();
    let id = request.text("request_id");
    peer.write_raw(
        format!("{{\"op\":\"publish.ack.v1\",\"request_id\":\"{id}\",\"ok\":tr").as_bytes(),
    );
    drop(peer);
    assert_eq!(transport.accept_ours().accept_messages(1), [b"1"]);
    daemon.expect_success(1);
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
