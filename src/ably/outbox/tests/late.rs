//! A late answer to what was given up, and the repetition that it answers.

use super::*;

/// A publish was sent and given up; its repetition, by the tag 1, is not asked for
/// yet.
fn given_up() -> (Rig, Publish<u32>) {
    let mut rig = Rig::with(1);
    rig.write();
    rig.now += Duration::from_secs(10);
    rig.outbox.expire(rig.now, |_| error());
    assert!(matches!(&rig.settled()[..], [(0, Outcome::Unknown(_))]));
    let again = Publish {
        messages: message(0),
        ..publish(1, rig.now + Duration::from_secs(10))
    };
    (rig, again)
}

#[test]
fn a_late_ack_answers_the_repetition_that_is_on_its_way_and_the_next_ack_nobody() {
    let (mut rig, again) = given_up();
    rig.outbox.push(again);
    assert_eq!(rig.write(), [1]);
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [1]);
    rig.outbox.acknowledge(1, 1, &Outcome::Accepted);
    assert!(rig.settled().is_empty());
    assert_eq!(rig.outbox.in_flight(), 0);
}

#[test]
fn a_late_ack_answers_the_repetition_that_waits_and_that_is_never_sent() {
    let (mut rig, again) = given_up();
    rig.outbox.push(again);
    rig.outbox.push(publish(2, rig.now));
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [1]);
    assert_eq!(rig.write(), [1]);
    rig.outbox.acknowledge(1, 1, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [2]);
    assert_eq!(rig.outbox.bytes, 0);
}

#[test]
fn a_late_ack_answers_the_repetition_that_comes_after_it_for_two_minutes() {
    let (mut rig, again) = given_up();
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert!(rig.settled().is_empty());
    rig.outbox.push(again);
    assert_eq!(rig.accepted(), [1]);
    assert!(rig.write().is_empty());

    rig.now = rig
        .outbox
        .poll_timeout(true)
        .expect("it is to be forgotten");
    rig.outbox.expire(rig.now, |_| error());
    assert_eq!(rig.outbox.poll_timeout(true), None);
    let again = Publish {
        messages: message(0),
        ..publish(2, rig.now)
    };
    rig.outbox.push(again);
    assert_eq!(rig.write(), [1]);
}

#[test]
fn a_repetition_that_is_given_up_too_is_answered_by_the_first_ack_of_either() {
    for acked in [1, 2] {
        let (mut rig, again) = given_up();
        rig.outbox.push(again);
        rig.write();
        rig.now += Duration::from_secs(10);
        rig.outbox.expire(rig.now, |_| error());
        assert!(matches!(&rig.settled()[..], [(1, Outcome::Unknown(_))]));
        let third = Publish {
            messages: message(0),
            ..publish(2, rig.now + Duration::from_secs(10))
        };
        rig.outbox.push(third);
        rig.write();
        rig.outbox.acknowledge(0, acked, &Outcome::Accepted);
        assert_eq!(rig.accepted(), [2]);
    }
}

#[test]
fn a_late_refusal_and_the_ack_of_something_else_leave_a_repetition_to_its_own_answer() {
    let (mut rig, again) = given_up();
    rig.outbox.push(again);
    rig.outbox.push(publish(2, rig.now));
    rig.write();
    rig.outbox.acknowledge(0, 1, &Outcome::Refused(error()));
    assert!(rig.settled().is_empty());
    rig.outbox.acknowledge(1, 1, &Outcome::Refused(error()));
    rig.outbox.acknowledge(2, 1, &Outcome::Accepted);
    let settled = rig.settled();
    assert!(matches!(&settled[0], (1, Outcome::Refused(_))));
    assert_eq!(settled[1], (2, Outcome::Accepted));
}
