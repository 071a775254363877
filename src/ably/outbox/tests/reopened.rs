//! The next transport, that goes on with the old connection or begins a new one.

use super::*;

#[test]
fn after_a_resume_what_is_unanswered_is_written_once_more_with_its_serials() {
    let mut rig = Rig::with(3);
    rig.write();
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    rig.outbox.push(publish(3, rig.now));
    rig.outbox.reopen(true);
    assert_eq!(rig.write(), [1, 2, 3]);
    assert!(rig.write().is_empty());
}

#[test]
fn after_a_failed_resume_serials_start_over_before_anything_new() {
    let mut rig = Rig::with(3);
    rig.write();
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    rig.outbox.push(publish(3, rig.now));
    rig.outbox.reopen(false);
    assert_eq!(rig.write(), [0, 1, 2]);
    rig.outbox.acknowledge(0, 3, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0, 1, 2, 3]);
}

#[test]
fn an_ack_for_the_old_transport_counts_after_a_resume_and_not_after_a_new_start() {
    let mut rig = Rig::with(2);
    rig.write();
    rig.outbox.reopen(true);
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [0]);
    assert_eq!(rig.write(), [1]);

    rig.outbox.reopen(false);
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert!(rig.settled().is_empty());
    assert_eq!(rig.write(), [0]);
}
