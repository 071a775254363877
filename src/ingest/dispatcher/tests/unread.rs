//! An outbox that is not read for long.

use std::time::Duration;

use super::story::{DAEMON, Story, bypassing, effect, outbox};
use super::{DEADLINE, answered_after};
use crate::delivery::Class;
use crate::journal::{OnFailure, Sync};

/// Its disk does not answer, and an effect waits for it from the beginning.
fn overdue(story: &mut Story) {
    let read = story.time.now().0;
    let took = answered_after(story, |story| {
        story.pass_until(|story| story.falco.has_room());
        let first = vec![effect(1)];
        story.falco.submit_late(&story.time, DAEMON, first, read);
        story.falco.advance(&story.time);
    });
    assert_eq!(took, DEADLINE);
}

fn stories() -> [Story; 2] {
    let strict = outbox(Sync::Always, OnFailure::Exit);
    [strict, bypassing()].map(Story::unopened)
}

#[test]
fn what_comes_before_an_outbox_is_read_waits_no_longer_than_for_a_transport() {
    for mut story in stories() {
        story.link();
        overdue(&mut story);
        let failure = story.offer(vec![effect(2)]).remove(0);
        let failure = failure.expect_err("nobody knows what is before it");
        assert_eq!(failure.class, Class::Unrecorded);
        assert!(
            failure.text.starts_with("it is being read since "),
            "{failure}"
        );
        story.deliver();
        assert_eq!(story.published, [0u8; 0], "nothing goes around it");
    }
}

#[test]
fn an_outbox_that_is_not_read_for_long_is_told_of_until_it_is() {
    for mut story in stories() {
        let status = |story: &mut Story| {
            let outbox = story.falco.status(&story.time).outbox;
            let outbox = outbox.expect("there is one");
            (
                outbox.state,
                outbox.why.is_some(),
                outbox.recovering.is_some(),
            )
        };
        assert_eq!(status(&mut story), ("recovering".to_owned(), false, true));
        overdue(&mut story);
        assert_eq!(status(&mut story), ("degraded".to_owned(), true, true));
        story.opens();
        assert_eq!(status(&mut story), ("ok".to_owned(), false, false));
    }
}

#[test]
fn what_was_refused_before_an_outbox_was_read_is_kept_once_it_is() {
    for mut story in stories() {
        overdue(&mut story);
        story.opens();
        story.link();
        story.keep(vec![effect(1), effect(2)]);
        story.deliver();
        assert_eq!(story.published, [1, 2]);
    }
}

#[test]
fn a_stop_waits_for_no_outbox_that_is_not_read() {
    for mut story in stories() {
        story.falco.stop(&story.time, vec![(DAEMON, effect(1))]);
        story.wait(Duration::from_secs(2));
        assert!(story.falco.is_done());
        let acks = story.falco.acks();
        assert!(matches!(acks[..], [(_, _, Err(_))]), "{acks:?}");
    }
}
