//! A message that was given up is mended and sent again under its key: it is no copy
//! of what was never published, whatever came under that key meanwhile.

use bytes::Bytes;
use nix::libc::ENOENT;

use super::story::{FOR_GOOD, Story, asked, effect, outbox};
use crate::delivery::Refusal;
use crate::journal::played::Op;
use crate::journal::{OnFailure, Sync};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::IdempotencyKey;
use crate::protocol::outbox::OutboxVerb;

/// An effect under the key of all of them.
fn with(number: u8, payload: &'static [u8]) -> SideEffect {
    SideEffect {
        key: IdempotencyKey::Given("the same".into()),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from_static(payload).into(),
        },
        ..effect(number)
    }
}

/// The first of them is kept, and there is no transport yet.
fn with_one_kept() -> Story {
    let mut story = Story::new(outbox(Sync::Always, OnFailure::Bypass));
    story.keep(vec![with(1, b"1")]);
    story
}

fn refuse_for_good(story: &mut Story) {
    story.link();
    story.answer(Some(&FOR_GOOD));
    story.pass_until(|story| story.dead().len() == 1);
}

/// The mended one goes out, and is what copies are compared with from then on.
fn expect_published(mut story: Story, mended: u8, how: &str) {
    story.keep(vec![with(mended, b"mended")]);
    story.deliver();
    assert_eq!(story.published, [mended], "{how}");
    story.keep(vec![with(mended + 1, b"mended")]);
    story.deliver();
    assert_eq!(story.published, [mended], "{how}: that is a copy");
}

#[test]
fn what_is_mended_and_sent_again_is_published_whatever_becomes_of_the_dead_letter() {
    for (is_dropped, is_killed) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut story = with_one_kept();
        refuse_for_good(&mut story);
        if is_dropped {
            story.ask(asked(OutboxVerb::Drop, &[1]));
        }
        if is_killed {
            // The letter is on disk by then.
            (0..5).for_each(|_| story.pass());
            story = story.killed();
            story.link();
        }
        assert_eq!(story.dead().len(), usize::from(!is_dropped));
        expect_published(story, 2, &format!("{is_dropped} {is_killed}"));
    }
}

#[test]
fn what_is_mended_is_published_also_where_the_record_of_the_first_cannot_be_read() {
    for again in [1, 2] {
        let mut story = with_one_kept();
        story.pass();
        let mut story = story.killed();
        story.keep(vec![with(again, b"1")]);
        story.fail(Op::Open, (0, 1), ENOENT);
        story.link();
        story.pass_until(|story| story.dead().len() == 1);
        expect_published(story, 3, &format!("it came again as {again}"));
    }
}

#[test]
fn what_is_mended_is_published_also_where_a_copy_came_while_the_first_was_kept() {
    let mut story = with_one_kept();
    story.keep(vec![with(2, b"1, sent again")]);
    refuse_for_good(&mut story);
    expect_published(story, 3, "given up after the copy");

    let mut story = with_one_kept();
    refuse_for_good(&mut story);
    story.keep(vec![with(2, b"1")]);
    expect_published(story, 3, "given up before the copy");

    let mut story = with_one_kept();
    story.keep(vec![with(2, b"1, sent again")]);
    story.ask(asked(OutboxVerb::Drop, &[1]));
    story.link();
    expect_published(story, 3, "dropped before it was given up");
}

#[test]
fn a_dead_letter_holds_a_reason_of_512_bytes_and_no_more_also_after_a_restart() {
    let long = "é".repeat(2000);
    let refusal = Refusal {
        error: &long,
        ..FOR_GOOD
    };
    let mut story = with_one_kept();
    story.link();
    story.answer(Some(&refusal));
    story.pass_until(|story| story.dead().len() == 1);
    let before = story.dead();
    let reason = &before[0].1;
    assert!(reason.starts_with("publish rejected: éé"), "{reason}");
    assert!((510..=512).contains(&reason.len()), "{}", reason.len());
    story.pass();
    let mut story = story.killed();
    assert_eq!(story.dead(), before);
}
