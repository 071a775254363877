//! What is given up: each publish when its time is over, and all at once.

use super::*;

#[test]
fn a_waiting_publish_whose_time_is_over_is_never_sent() {
    let mut rig = Rig::with(0);
    rig.outbox
        .push(publish(0, rig.now + Duration::from_secs(1)));
    rig.outbox
        .push(publish(1, rig.now + Duration::from_secs(3)));
    assert_eq!(
        rig.outbox.poll_timeout(false),
        Some(rig.now + Duration::from_secs(1))
    );
    rig.now += Duration::from_secs(1);
    rig.outbox.expire(rig.now, |_| error());
    assert!(matches!(&rig.settled()[..], [(0, Outcome::NotSent(_))]));
    assert_eq!(rig.write(), [0]);
    rig.outbox.acknowledge(0, 1, &Outcome::Accepted);
    assert_eq!(rig.accepted(), [1]);
}

#[test]
fn a_sent_publish_whose_time_is_over_keeps_its_serial_and_is_answered_once() {
    let mut rig = Rig::with(2);
    rig.write();
    rig.now += Duration::from_secs(10);
    rig.outbox
        .expire(rig.now, |written| ErrorInfo::new(u32::from(written), ""));
    let settled = rig.settled();
    assert!(matches!(&settled[0], (0, Outcome::Unknown(why)) if why.code == 1));
    assert_eq!(settled.len(), 2);
    rig.outbox.acknowledge(0, 2, &Outcome::Accepted);
    assert!(rig.settled().is_empty());
    let forgotten = rig.now + Duration::from_secs(120);
    assert_eq!(rig.outbox.poll_timeout(true), Some(forgotten));
    rig.outbox.expire(forgotten, |_| error());
    assert_eq!(rig.outbox.poll_timeout(true), None);
}

#[test]
fn what_nobody_awaits_is_resent_on_resume_and_dropped_otherwise() {
    for (resumed, written) in [(true, vec![0, 1]), (false, vec![])] {
        let mut rig = Rig::with(2);
        rig.write();
        rig.now += Duration::from_secs(10);
        rig.outbox.expire(rig.now, |_| error());
        rig.outbox.reopen(resumed);
        assert_eq!(rig.write(), written);
    }
}

#[test]
fn giving_up_settles_everything_once_and_uses_the_serials_up() {
    let mut rig = Rig::with(2);
    rig.write();
    rig.outbox.push(publish(2, rig.now));
    rig.outbox.fail_all(&error());
    let settled = rig.settled();
    assert!(matches!(&settled[0], (0, Outcome::Unknown(_))));
    assert!(matches!(&settled[2], (2, Outcome::NotSent(_))));
    assert_eq!(settled.len(), 3);
    assert_eq!(rig.outbox.poll_timeout(true), None);

    rig.outbox.push(publish(3, rig.now));
    rig.outbox.reopen(true);
    assert_eq!(rig.write(), [2]);
}

#[test]
fn settled_deadlines_do_not_pile_up() {
    let mut rig = Rig::with(1);
    rig.write();
    // The first stays open; its patience ends first and hides the others.
    rig.outbox.set_rate(u32::MAX, rig.now);
    rig.now += Duration::from_secs(1);
    for tag in 1..5000 {
        rig.outbox
            .push(publish(tag, rig.now + Duration::from_secs(20)));
        rig.write();
    }
    rig.outbox.acknowledge(0, 4999, &Outcome::Accepted);
    assert_eq!(rig.accepted().len(), 4999);
    assert!(rig.outbox.deadlines.len() <= 66);
}
