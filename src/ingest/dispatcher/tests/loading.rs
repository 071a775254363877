//! What an earlier life has left, read from the disk when its turn comes.

use nix::libc::{EIO, EMFILE, ENOENT};

use super::story::{Story, asked, bypassing, effect};
use crate::journal::played::Op;
use crate::protocol::outbox::OutboxVerb;

/// Five effects of one lane, on disk only.
fn left_behind() -> Story {
    let mut story = Story::new(bypassing());
    story.keep((1..=5).map(effect).collect());
    story.pass();
    let mut story = story.killed();
    story.link();
    story
}

#[test]
fn what_the_disk_does_not_give_now_keeps_its_place_and_its_lane_waits_for_it() {
    for (op, errno) in [(Op::Open, EMFILE), (Op::Read, EIO)] {
        for nth in 0..5 {
            let mut story = left_behind();
            story.fail(op, (nth, 1), errno);
            story.deliver();
            assert_eq!(story.published, [1, 2, 3, 4, 5], "{op:?} {nth}");
            assert_eq!((story.open(), story.dead()), (vec![], vec![]));
        }
    }
}

#[test]
fn an_effect_whose_record_is_gone_is_a_dead_letter_and_those_behind_it_are_published() {
    for gone in 1..=5 {
        let mut story = left_behind();
        story.fail(Op::Open, (u64::from(gone) - 1, 1), ENOENT);
        story.deliver();
        let others: Vec<_> = (1..=5).filter(|number| *number != gone).collect();
        assert_eq!(story.published, others);
        let why = "its record cannot be read any more".to_owned();
        assert_eq!(story.dead(), [(gone, why)]);
    }
}

#[test]
fn a_journal_that_has_ended_says_nothing_of_what_it_holds() {
    let mut story = left_behind();
    story.end_journal();
    story.deliver();
    assert!(story.published.is_empty() && story.dead().is_empty());
    assert_eq!(story.open(), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_read_while_an_operator_drops_another_overtakes_nothing() {
    let mut story = Story::new(bypassing());
    story.keep((1..=70).map(effect).collect());
    story.pass();
    let mut story = story.killed();
    story.link();
    story.pass_until(Story::answer_first);
    assert_eq!(story.published, [1]);
    // The next is read, and all before it are with the lanes.
    story.falco.hear(&story.time);
    story.work();
    _ = story.falco.ask(&story.time, asked(OutboxVerb::Drop, &[10]));
    assert!(
        story.falco.hear(&story.time),
        "of what is read, not of the drop"
    );
    story.answer(None);
    story.deliver();
    let others = (1..=70).filter(|number| *number != 10);
    assert_eq!(story.published, others.collect::<Vec<_>>());
}
