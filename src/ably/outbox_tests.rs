use std::time::Duration;

use super::*;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::publish::Draft;

fn messages(count: usize) -> Messages {
    let draft = Draft {
        name: "e",
        payload_b64: "aGk=",
        ..Draft::default()
    };
    Messages::encode(Format::Msgpack, vec![draft; count]).expect("base64")
}

/// As all that come from outside, it has an id.
fn message(id: u32) -> Messages {
    let draft = Draft {
        id: &id.to_string(),
        name: "e",
        payload_b64: "aGk=",
        ..Draft::default()
    };
    Messages::encode(Format::Msgpack, [draft]).expect("base64")
}

fn publish(tag: u32, deadline: Instant) -> Publish<u32> {
    Publish {
        channel: "c".into(),
        messages: message(tag),
        deadline,
        tag,
    }
}

struct Rig {
    outbox: Outbox<u32>,
    now: Instant,
}

impl Rig {
    /// With publishes `0..count` waiting, each with ten seconds of patience.
    fn with(count: u32) -> Self {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        for tag in 0..count {
            outbox.push(publish(tag, now + Duration::from_secs(10)));
        }
        Self { outbox, now }
    }

    /// Writes all it can; the serials written.
    fn write(&mut self) -> Vec<u64> {
        let mut serials = Vec::new();
        while let Some(outgoing) = self.outbox.next(self.now) {
            serials.push(outgoing.msg_serial);
        }
        serials
    }

    fn settled(&mut self) -> Vec<(u32, Outcome)> {
        std::iter::from_fn(|| self.outbox.poll_settled()).collect()
    }

    fn accepted(&mut self) -> Vec<u32> {
        let settled = self.settled();
        let accepted = |(_, outcome): &&(u32, Outcome)| *outcome == Outcome::Accepted;
        settled
            .iter()
            .filter(accepted)
            .map(|(tag, _)| *tag)
            .collect()
    }
}

fn error() -> ErrorInfo {
    ErrorInfo::new(80_002, "gone")
}

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

/// Random traffic against a naive model: what was settled how often, in what
/// order things were written.
mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Write(usize),
        Ack { skip: u64, count: u64 },
        Reopen { resumed: bool },
        Wait(u64),
        FailAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            4 => (0..4_usize).prop_map(Step::Write),
            3 => (0..2_u64, 1..4_u64).prop_map(|(skip, count)| Step::Ack { skip, count }),
            1 => any::<bool>().prop_map(|resumed| Step::Reopen { resumed }),
            1 => (1..6_u64).prop_map(Step::Wait),
            1 => Just(Step::FailAll),
        ]
    }

    proptest! {
        #[test]
        fn every_publish_is_settled_exactly_once_and_written_in_order(
            steps in prop::collection::vec(step(), 1..200)
        ) {
            let mut rig = Rig::with(0);
            let mut pushed = 0;
            let mut settled = Vec::new();
            for step in steps {
                match step {
                    Step::Push => {
                        let deadline = rig.now + Duration::from_secs(5);
                        rig.outbox.push(publish(pushed, deadline));
                        pushed += 1;
                    }
                    Step::Write(count) => {
                        let mut last = None;
                        for _ in 0..count {
                            let now = rig.now;
                            let Some(outgoing) = rig.outbox.next(now) else { break };
                            prop_assert!(last.is_none_or(|last| outgoing.msg_serial == last + 1));
                            last = Some(outgoing.msg_serial);
                        }
                    }
                    Step::Ack { skip, count } => {
                        let serial = rig.outbox.first_serial + skip;
                        rig.outbox.acknowledge(serial, count, &Outcome::Accepted);
                    }
                    Step::Reopen { resumed } => rig.outbox.reopen(resumed),
                    Step::Wait(seconds) => {
                        rig.now += Duration::from_secs(seconds);
                        let now = rig.now;
                        rig.outbox.expire(now, |_| error());
                    }
                    Step::FailAll => rig.outbox.fail_all(&error()),
                }
                settled.extend(rig.settled().into_iter().map(|(tag, _)| tag));
                prop_assert_eq!(rig.outbox.bytes, rig.outbox.bytes_held());
                prop_assert!(rig.outbox.written <= rig.outbox.sent.len());
                prop_assert!(rig.outbox.acknowledgeable <= rig.outbox.sent.len());
            }
            rig.outbox.fail_all(&error());
            settled.extend(rig.settled().into_iter().map(|(tag, _)| tag));
            settled.sort_unstable();
            prop_assert_eq!(settled, (0..pushed).collect::<Vec<_>>());
        }
    }
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
