//! The rate, the room, and the urgent publish that goes before what they hold back.

use super::*;

#[test]
fn a_rate_limit_holds_publishes_back_and_says_until_when() {
    let mut rig = Rig::with(60);
    rig.outbox.set_rate(50, rig.now);
    let mut sent = rig.write().len();
    assert!((20..=30).contains(&sent), "{sent}");
    while sent < 60 {
        let at = rig.outbox.poll_timeout(true);
        rig.now = at.expect("more is to be sent");
        sent += rig.write().len();
        rig.outbox.expire(rig.now, |_| error());
    }
    assert_eq!(sent, 60);
    assert!(rig.settled().is_empty(), "nothing ran out of time");
    let closed = rig.outbox.poll_timeout(false);
    assert!(
        closed.is_some_and(|at| at > rig.now),
        "only a deadline is left"
    );
}

#[test]
fn room_ends_at_a_count_and_at_a_size_and_comes_back() {
    let mut rig = Rig::with(0);
    while rig.outbox.has_room() {
        rig.outbox.push(publish(0, rig.now));
    }
    assert_eq!(rig.outbox.waiting(), WAITING_MAX);
    rig.outbox.fail_all(&error());
    assert!(rig.outbox.has_room());

    let payload = "A".repeat(1 << 20);
    let draft = Draft {
        payload_b64: &payload,
        ..Draft::default()
    };
    let large = Messages::encode(Format::Msgpack, [draft]).expect("base64");
    while rig.outbox.has_room() {
        let messages = large.clone();
        rig.outbox.push(Publish {
            messages,
            ..publish(0, rig.now)
        });
    }
    assert!(rig.outbox.waiting() < 100);
}

#[test]
fn an_urgent_publish_goes_before_all_that_waits_and_disturbs_no_deadline() {
    let mut rig = Rig::with(5);
    let first = rig.outbox.next(rig.now).map(|first| first.msg_serial);
    assert_eq!(first, Some(0));
    rig.outbox.push_urgent(publish(98, rig.now));
    rig.outbox.push_urgent(publish(99, rig.now));
    assert!(matches!(&rig.settled()[..], [(98, Outcome::NotSent(_))]));
    assert_eq!(rig.write(), [1, 2, 3, 4, 5]);

    rig.outbox.acknowledge(0, 3, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0, 99, 1]);
    let late = rig.now + Duration::from_secs(10);
    rig.outbox.expire(late, |_| ErrorInfo::new(50_003, "late"));
    let expired: Vec<_> = rig.settled().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(expired, [2, 3, 4]);
    rig.outbox.acknowledge(3, 3, &Outcome::Accepted);
    assert_eq!(rig.outbox.bytes_held(), 0);
    assert_eq!(rig.outbox.bytes, 0);
}

#[test]
fn an_urgent_publish_needs_no_room_among_those_sent() {
    let mut rig = Rig::with(0);
    rig.outbox.set_rate(u32::MAX, rig.now);
    for tag in 0..=u32::try_from(SENT_MAX).expect("fits") {
        rig.outbox.push(publish(tag, rig.now));
    }
    rig.now += Duration::from_secs(1);
    assert_eq!(rig.write().len(), SENT_MAX);
    rig.outbox.push_urgent(publish(99, rig.now));
    assert_eq!(rig.write(), [SENT_MAX as u64]);
}
