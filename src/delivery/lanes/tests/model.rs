//! Random stories.

use proptest::prelude::*;

use super::super::model::{Model, Step, With, small};
use super::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![
        6 => Just(With::Ok),
        1 => Just(With::Rejected),
        1 => Just(With::Throttled),
        1 => Just(With::Ambiguous),
        1 => Just(With::Refused),
        1 => Just(With::Offline),
    ];
    let held_up = prop_oneof![4 => Just(0), 1 => 0..16_000u64];
    let step = prop_oneof![
        8 => (0..4u8, 0..2u8, prop::bool::weighted(0.1), 0..30usize, held_up)
            .prop_map(|(lane, channel, object, bytes, held_up)| Step::Submit { lane, channel, object, bytes, held_up }),
        8 => Just(Step::Send),
        6 => (any::<usize>(), answer).prop_map(|(which, with)| Step::Answer { which, with }),
        3 => prop_oneof![0..10u64, 0..1000u64, 0..20_000u64].prop_map(|ms| Step::Pass { ms }),
        1 => prop::bool::weighted(0.8).prop_map(|batches| Step::Connect { batches }),
        1 => Just(Step::Disconnect),
        1 => (0..4u8).prop_map(|lane| Step::Full { lane }),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_story_keeps_the_promises(steps in steps(), parks: bool, stops: bool, once: bool) {
        let on_rejected = if parks { OnRejected::Park } else { OnRejected::Skip };
        let mut model = Model::new(small(on_rejected), Instant::now()).answering_once(once);
        for step in &steps {
            model.step(step);
        }
        if stops {
            model.step(&Step::Stop);
        }
        model.finish();
    }
}

/// A lane whose batch is not answered in time, then refused for good, and all that
/// is answered after that.
fn taken_apart() -> impl Strategy<Value = Vec<Step>> {
    let submit = |n| Step::Submit {
        lane: 0,
        channel: 0,
        object: false,
        bytes: n,
        held_up: 0,
    };
    let answer = prop_oneof![
        4 => Just(With::Ok),
        1 => Just(With::Rejected),
        1 => Just(With::Ambiguous),
    ];
    let step = prop_oneof![
        4 => Just(Step::Send),
        4 => (0..5usize, answer).prop_map(|(which, with)| Step::Answer { which, with }),
        1 => (0..600u64).prop_map(|ms| Step::Pass { ms }),
        1 => (0..10usize).prop_map(submit),
    ];
    let begin = [
        Step::Connect { batches: true },
        submit(1),
        submit(2),
        submit(3),
        Step::Send,
        Step::Pass { ms: 5700 },
        Step::Send,
        Step::Answer {
            which: 1,
            with: With::Rejected,
        },
    ];
    let rest = prop::collection::vec(step, 0..30);
    rest.prop_map(move |rest| begin.iter().cloned().chain(rest).collect())
}

proptest! {
    #[test]
    fn nothing_of_a_batch_that_was_taken_apart_goes_out_once_it_is_accepted(
        steps in taken_apart(),
        parks: bool,
    ) {
        let on_rejected = if parks { OnRejected::Park } else { OnRejected::Skip };
        let mut model = Model::new(small(on_rejected), Instant::now()).answering_once(true);
        for step in &steps {
            model.step(step);
        }
        model.finish();
    }
}
