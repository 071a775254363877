//! Stories of producers and a reader that is killed, checked against what was
//! written: every line is taken once, those of one producer in their order, and
//! those of dropped files in the order of their names.

mod journal;
mod producers;
mod story;

use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;
use journal::Fate;
use producers::Act;
use story::Story;

#[derive(Debug, Clone, Copy)]
enum Step {
    Act(Act),
    /// The same in the midst of a later append.
    ActMeanwhile(Act),
    Next(Fate),
    Look,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = || {
        prop_oneof![
            6 => (1..4u8, any::<bool>()).prop_map(|(lines, is_half)| Act::Append { lines, is_half }),
            1 => Just(Act::Spoil),
            1 => Just(Act::Rewrite),
            2 => Just(Act::Rotate),
            3 => (1..4u8, any::<bool>()).prop_map(|(lines, has_lf)| Act::Drop { lines, has_lf }),
            2 => Just(Act::Grow),
        ]
    };
    let fate = prop_oneof![
        Just(Fate::Taken),
        Just(Fate::Refused),
        Just(Fate::OneRefused),
        Just(Fate::KilledBefore),
        Just(Fate::KilledBehind),
    ];
    let step = prop_oneof![
        4 => act().prop_map(Step::Act),
        2 => act().prop_map(Step::ActMeanwhile),
        3 => fate.prop_map(Step::Next),
        5 => Just(Step::Look),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_line_is_taken_once_and_in_order_whatever_is_done_and_killed(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut story = Story::new(folder.path());
            for step in steps {
                story.step(step).await;
            }
            story.end().await;
        });
    }
}
