//! Serials, and what the acks of them settle.

use super::*;

#[test]
fn serials_count_protocol_messages_from_zero() {
    let mut rig = Rig::with(2);
    let batch = Publish {
        messages: messages(5),
        ..publish(2, rig.now)
    };
    rig.outbox.push(batch);
    rig.outbox.push(publish(3, rig.now));
    assert_eq!(rig.write(), [0, 1, 2, 3]);
}

#[test]
fn one_ack_covers_a_range() {
    let mut rig = Rig::with(4);
    rig.write();
    rig.outbox.acknowledge(0, 3, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0, 1, 2]);
    assert_eq!(rig.outbox.in_flight(), 1);
}

#[test]
fn what_an_ack_skips_is_refused() {
    let mut rig = Rig::with(3);
    rig.write();
    rig.outbox.acknowledge(2, 1, &Outcome::Accepted);
    let settled = rig.settled();
    assert!(matches!(&settled[0], (0, Outcome::Refused(why)) if why.code == 50_000));
    assert!(matches!(&settled[1], (1, Outcome::Refused(_))));
    assert_eq!(settled[2], (2, Outcome::Accepted));
}

#[test]
fn a_repeated_or_overlapping_ack_settles_nothing_twice() {
    let mut rig = Rig::with(3);
    rig.write();
    rig.outbox.acknowledge(0, 2, &Outcome::Accepted);
    rig.outbox.acknowledge(0, 2, &Outcome::Accepted);
    rig.outbox.acknowledge(1, 2, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0, 1, 2]);
}

#[test]
fn an_ack_of_what_was_never_sent_is_ignored() {
    let mut rig = Rig::with(2);
    rig.outbox.acknowledge(0, 2, &Outcome::Accepted);
    assert!(rig.settled().is_empty());
    rig.write();
    rig.outbox.acknowledge(0, u64::MAX, &Outcome::Accepted);
    rig.outbox
        .acknowledge(u64::MAX, u64::MAX, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0, 1]);
}
