//! The dispatcher with an outbox, on a disk that lies.

mod accepted_late;
mod crash;
mod crowd;
mod dead;
mod failing;
mod full;
mod hanging;
mod loading;
mod mended;
mod story;
mod unread;

use std::time::Duration;

use nix::libc::EIO;
use story::{DAEMON, Story, bypassing, effect, number};

use crate::delivery::Class;
use crate::journal::played::Op;

#[test]
fn nothing_is_kept_behind_what_fails_because_falco_stops() {
    let mut story = Story::new(bypassing());
    story.disk.set_capacity(Some(story.disk.used()));
    story.submit(vec![effect(1)]);
    story.pass_until(|story| !story.falco.records());
    story.disk.set_capacity(None);
    story.pass_until(|story| story.falco.records());
    assert!(story.falco.acks().is_empty(), "it waits on the direct way");

    story
        .falco
        .stop(&story.time, vec![(story::DAEMON, effect(2))]);

    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == 2
    });
    for (_, id, outcome) in acks {
        let class = outcome.expect_err("the first is not published").class;
        assert_eq!(class, Class::ShuttingDown, "{}", number(id));
    }
}

#[test]
fn what_was_kept_for_long_is_known_for_a_quarter_of_an_hour_after_it_is_published() {
    let mut story = Story::new(bypassing());
    story.keep(vec![effect(1), effect(2)]);
    story.wait(Duration::from_secs(20 * 60));
    story.link();
    story.deliver();
    story.wait(Duration::from_secs(14 * 60));
    story.keep(vec![effect(1), effect(2)]);
    story.deliver();
    assert_eq!(story.published, [1, 2], "each once");
}

/// When it is told what became of the first effect, at last.
fn answered_after(story: &mut Story, submit: impl FnOnce(&mut Story)) -> Duration {
    let begun = story.time.now().0;
    submit(story);
    story.pass_until(|story| !story.falco.acks().is_empty());
    story.time.now().0 - begun
}

/// As long as no transport takes an effect, and no longer.
const DEADLINE: Duration = Duration::from_millis(16_500);

#[test]
fn what_a_disk_held_up_before_it_failed_is_answered_no_later_for_that() {
    let mut story = Story::new(bypassing());
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    story.fail(Op::Write, (0, u64::MAX), EIO);
    let took = answered_after(&mut story, |story| {
        story.submit(vec![effect(1)]);
        story.wait(Duration::from_secs(5));
    });
    assert_eq!(took, DEADLINE);
}

#[test]
fn what_was_read_long_before_there_was_room_is_answered_no_later_for_that() {
    let mut story = Story::new(bypassing());
    story.disk.set_capacity(Some(story.disk.used()));
    story.submit(vec![effect(1)]);
    story.pass_until(|story| !story.falco.acks().is_empty());
    let took = answered_after(&mut story, |story| {
        let read = story.time.now().0;
        story.wait(Duration::from_secs(9));
        story
            .falco
            .submit_late(&story.time, DAEMON, vec![effect(2)], read);
        story.falco.advance(&story.time);
    });
    assert_eq!(took, DEADLINE);
}
