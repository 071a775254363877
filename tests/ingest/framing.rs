//! Whatever bytes come, each readable frame is answered once, and only garbage
//! ends a connection.

use crate::daemon::{frame, frames, id};
use crate::falco::Falco;

#[test]
fn ten_thousand_frames_in_one_write_are_all_answered() {
    let falco = Falco::start();
    let mut peer = falco.transport();
    let transport = std::thread::spawn(move || peer.accept_ours().accept_messages(10_000));
    let mut writer = falco.daemon();
    let mut reader = writer.other_half();
    let acks = std::thread::spawn(move || (0..10_000).map(|_| reader.read()).collect::<Vec<_>>());
    writer.write(&frames(10_000, "c"));
    let acks = acks.join().expect("acks");
    for (n, ack) in (0..).zip(acks) {
        assert_eq!((ack.id, ack.ok), (id(n), true), "{ack:?}");
    }
    let payloads = transport.join().expect("transport");
    let expected: Vec<_> = (0..10_000).map(|n| n.to_string().into_bytes()).collect();
    assert!(payloads == expected, "in order, once");
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    for byte in frame(id(1), b"{}") {
        daemon.write(&[byte]);
    }
    daemon.expect_failed(1, "rejected", "missing event");
}

#[test]
fn a_wrong_inner_length_fails_its_own_frame_only() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    for inner in [0u32, 1, 3, u32::MAX] {
        let mut broken = frame(id(1), b"{}");
        broken[24..28].copy_from_slice(&inner.to_le_bytes());
        daemon.write(&broken);
        daemon.expect_failed(1, "rejected", "payload_len");
    }
    daemon.send(2, "{}");
    daemon.expect_failed(2, "rejected", "missing event");
}

#[test]
fn a_frame_over_four_mebibytes_is_drained_and_refused() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    daemon.write(&frame(id(1), &vec![b' '; 4 * 1024 * 1024]));
    daemon.expect_failed(1, "too_large", "over the limit");
    daemon.write(&frame(id(2), &vec![b' '; 16 * 1024 * 1024 - 24]));
    daemon.expect_failed(2, "too_large", "over the limit");
    daemon.send(3, "{}");
    daemon.expect_failed(3, "rejected", "missing event");
}

#[test]
fn a_frame_too_long_to_be_drained_is_refused_at_its_header_and_ends_the_connection() {
    let falco = Falco::start();
    for total_len in [16 * 1024 * 1024 + 1, u32::MAX] {
        let mut header = frame(id(2), b"");
        header[..4].copy_from_slice(&u32::to_le_bytes(total_len));
        // The second time whoever writes it looks for its answer behind that.
        for body in [0, 17 * 1024 * 1024] {
            let mut daemon = falco.daemon();
            daemon.send(1, "{}");
            daemon.write(&header);
            daemon.write(&vec![b' '; body]);
            daemon.expect_failed(1, "rejected", "missing event");
            daemon.expect_failed(2, "too_large", "16777216 bytes that are read at most");
            daemon.expect_end();
        }
    }

    falco.terminate();
    let (_, log) = falco.wait();
    assert!(log.contains("frame length 4294967295 is over"), "{log}");
}

#[test]
fn many_daemons_in_the_middle_of_large_frames_do_not_make_falco_large() {
    let falco = Falco::start();
    let mut halves = Vec::new();
    for _ in 0..100 {
        let mut daemon = falco.daemon();
        daemon.stream.set_nonblocking(true).expect("nonblocking");
        let large = frame(id(1), &vec![b' '; 4_000_000]);
        for _ in 0..40 {
            _ = std::io::Write::write(&mut daemon.stream, &large[..100_000]);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        halves.push(daemon);
    }
    assert!(
        falco.memory_kib() < 100 * 1024,
        "{} KiB",
        falco.memory_kib()
    );
    let mut daemon = falco.daemon();
    daemon.send(1, "{}");
    daemon.expect_failed(1, "rejected", "missing event");
}

#[test]
fn what_cannot_be_framed_ends_the_connection_and_no_other() {
    let falco = Falco::start();
    let mut other = falco.daemon();
    let mut bad_type = frame(id(1), b"{}");
    bad_type[4] = 0x04;
    let lengths = [0u32, 1, 23];
    let starts = lengths.map(|len| len.to_le_bytes().to_vec());
    let too_long_of_bad_type = vec![0xff, 0xff, 0xff, 0xff, 0x04];
    let others = [bad_type, too_long_of_bad_type];
    for bytes in starts.into_iter().chain(others) {
        let mut daemon = falco.daemon();
        daemon.send(7, "{}");
        daemon.write(&bytes);
        daemon.expect_failed(7, "rejected", "missing event");
        daemon.expect_end();
    }
    other.send(1, "{}");
    other.expect_failed(1, "rejected", "missing event");

    falco.terminate();
    let (_, log) = falco.wait();
    for reason in ["frame length 23 is shorter", "frame type 0x04"] {
        assert!(log.contains(reason), "{reason} is in the log");
    }
}

#[test]
fn a_daemon_that_half_closes_still_gets_its_answers() {
    let falco = Falco::start();
    let mut daemon = falco.daemon();
    daemon.write(&frames(3, "c"));
    daemon.finish();
    let mut peer = falco.transport().accept_ours();
    assert_eq!(peer.accept_messages(3).len(), 3);
    for n in 0..3 {
        daemon.expect_success(n);
    }
    daemon.expect_end();
}

#[test]
fn a_daemon_that_leaves_in_the_middle_of_a_frame_harms_nobody() {
    let falco = Falco::start();
    let whole = frame(id(1), b"{}");
    for len in 1..whole.len() {
        falco.daemon().write(&whole[..len]);
    }
    let mut daemon = falco.daemon();
    daemon.send(1, "{}");
    daemon.expect_failed(1, "rejected", "missing event");
}
