//! Batches that were taken apart, and are accepted all the same.

use super::kept::kept;
use super::*;

/// Longer than the answer to a request is waited for, and the pause after that.
const SILENCE: Duration = Duration::from_secs(6);

fn three() -> [SideEffect; 3] {
    [1, 2, 3].map(|n| publish("a", n))
}

impl Story {
    /// The next request, which is not answered in its time.
    fn unanswered(&mut self, effects: &[u8]) -> RequestId {
        let id = self.expect_request(effects);
        self.pass(SILENCE);
        id
    }

    /// A batch that was not answered, and then was refused: its effects go out one
    /// by one. Returns its first sending.
    fn take_apart(&mut self) -> RequestId {
        let silent = self.unanswered(&[1, 2, 3]);
        let refused = self.expect_request(&[1, 2, 3]);
        self.refuse(refused, "one of you", false);
        silent
    }
}

#[test]
fn a_batch_that_is_accepted_after_it_was_taken_apart_is_published_and_goes_out_no_more() {
    for (config, is_out) in [
        (Config::default(), false),
        (Config::default(), true),
        (Config::for_outbox(Duration::from_secs(5)), true),
    ] {
        let mut story = Story::new(config, Some(OURS));
        story.submit(three());
        let silent = story.take_apart();
        story.submit([publish("a", 4)]);
        let alone = is_out.then(|| story.expect_request(&[1]));
        story.lanes.handle_accepted(silent);
        story.expect_published(&[1, 2, 3]);
        let next = story.expect_request(&[4]);
        if let Some(alone) = alone {
            story.lanes.handle_accepted(alone);
            assert_eq!(story.settled(), [], "it is over");
        }
        story.lanes.handle_accepted(next);
        story.expect_published(&[4]);
        story.expect_nothing_left();
    }
}

#[test]
fn what_of_it_was_answered_meanwhile_is_not_answered_again() {
    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    story.expect_request(&[2]);
    story.lanes.handle_accepted(silent);
    story.expect_published(&[2, 3]);
    story.expect_nothing_left();
}

#[test]
fn what_of_it_failed_meanwhile_is_known_to_be_published() {
    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    let first = story.expect_request(&[1]);
    story.refuse(first, "you", false);
    story.expect_failed(&[1, 2, 3], "ambiguous: ");
    story.lanes.handle_accepted(silent);
    assert_eq!(story.settled(), []);
    assert_eq!(story.published_late(), [[1, 2, 3]]);
}

#[test]
fn what_of_it_waits_for_another_try_is_published_too() {
    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    let first = story.expect_request(&[1]);
    story.refuse(first, "later", true);
    story.submit([publish("a", 4)]);
    assert!(story.request().is_none());
    story.lanes.handle_accepted(silent);
    story.expect_published(&[1, 2, 3]);
    story.expect_request(&[4]);
}

#[test]
fn what_is_refused_for_too_long_may_be_accepted_in_the_end() {
    let mut story = kept(Some(OURS), three());
    let silent = story.unanswered(&[1, 2, 3]);
    story.refuse_next(50_000, 25);
    story.expect_request(&[1]);
    story.lanes.handle_accepted(silent);
    story.expect_published(&[1, 2, 3]);
    story.expect_nothing_left();
}

#[test]
fn what_stays_when_some_of_it_is_taken_out_is_published_with_that() {
    let lane = LaneKey::new("a");
    let mut story = kept(Some(OURS), three());
    let silent = story.unanswered(&[1, 2, 3]);
    assert_eq!(story.lanes.handle_withdrawn(&lane, id(3)).len(), 1);
    story.submit([publish("a", 4)]);
    story.lanes.handle_accepted(silent);
    story.expect_published(&[1, 2]);
    assert_eq!(story.published_late(), [[1, 2, 3]]);
    story.expect_request(&[4]);
}

#[test]
fn what_goes_out_again_in_another_company_goes_its_way_with_that() {
    let lane = LaneKey::new("a");
    let mut story = kept(Some(OURS), three());
    let silent = story.unanswered(&[1, 2, 3]);
    assert_eq!(story.lanes.handle_withdrawn(&lane, id(2)).len(), 2);
    story.submit([publish("a", 4)]);
    story.pass(SILENCE);
    let other = story.expect_request(&[1, 4]);
    story.lanes.handle_accepted(silent);
    assert_eq!(story.settled(), []);
    story.lanes.handle_accepted(other);
    story.expect_published(&[1, 4]);
    story.expect_nothing_left();
}

#[test]
fn what_came_again_after_it_failed_is_answered_by_what_was_silent() {
    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    let first = story.expect_request(&[1]);
    story.refuse(first, "you", false);
    story.expect_failed(&[1, 2, 3], "ambiguous: ");
    story.submit([publish("a", 1), publish("a", 2)]);
    story.lanes.handle_accepted(silent);
    story.expect_published(&[1, 2]);
    story.expect_nothing_left();
}

#[test]
fn of_a_connection_that_is_gone_no_batch_is_known() {
    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    story.lanes.handle_disconnected(story.now);
    assert!(story.lanes.given_up.is_empty());
    story.lanes.handle_connected(OURS);
    story.lanes.handle_accepted(silent);
    assert_eq!(story.settled(), []);
    story.expect_request(&[1]);
}

#[test]
fn of_a_batch_whose_sendings_were_all_answered_nothing_is_remembered() {
    let mut story = Story::with(OURS, three());
    let refused = story.expect_request(&[1, 2, 3]);
    story.refuse(refused, "one of you", false);
    assert!(story.lanes.given_up.is_empty());

    let mut story = Story::with(OURS, three());
    let silent = story.take_apart();
    assert!(!story.lanes.given_up.is_empty());
    story.refuse(silent, "no", false);
    assert!(story.lanes.given_up.is_empty());
}
