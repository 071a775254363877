//! Random traffic against a naive model: what was settled how often, in what
//! order things were written.

use proptest::prelude::*;

use super::*;

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
