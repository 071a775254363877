//! Answers to what nobody waits for any more.

use super::*;
use crate::protocol::ipc::TIMED_OUT;

const SECOND: Duration = Duration::from_secs(1);

impl Story {
    /// Everything that was published after it was given up.
    pub(super) fn published_late(&mut self) -> Vec<Vec<u8>> {
        let numbers = |ids: Vec<EffectId>| ids.iter().map(|id| id.as_bytes()[0]).collect();
        std::iter::from_fn(|| self.lanes.poll_published_late())
            .map(numbers)
            .collect()
    }

    /// All sendings of the front of the only lane, none of which is answered.
    fn give_up(&mut self) -> Vec<RequestId> {
        let mut sent = Vec::new();
        for _ in 0..17 {
            sent.extend(self.request().map(|(id, _)| id));
            self.pass(SECOND);
        }
        assert_eq!(sent.len(), 3);
        sent
    }

    fn late(&self) -> u64 {
        self.lanes.depth(self.now).late
    }
}

#[test]
fn what_is_accepted_after_it_was_given_up_is_told_once_with_all_it_went_out_with() {
    for nth in 0..3 {
        let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
        let sent = story.give_up();
        story.submit([publish("a", 3)]);
        story.expect_failed(&[1, 2], "ambiguous: ");
        story.expect_request(&[3]);
        assert_eq!(story.late(), 0);
        story.lanes.handle_accepted(sent[nth]);
        assert_eq!(story.published_late(), [[1, 2]]);
        for id in sent {
            story.lanes.handle_accepted(id);
        }
        assert_eq!(story.published_late(), [[0; 0]; 0]);
        assert_eq!(story.late(), 4);
        assert_eq!(story.settled(), []);
    }
}

#[test]
fn a_late_refusal_of_what_was_given_up_leaves_it_to_the_other_sendings() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let sent = story.give_up();
    story.expect_failed(&[1], "ambiguous: ");
    for id in &sent[..2] {
        story.refuse(*id, "no", false);
    }
    story.lanes.handle_accepted(sent[2]);
    assert_eq!(story.published_late(), [[1]]);
    assert_eq!(story.late(), 3);
}

#[test]
fn what_is_refused_for_good_after_a_silence_may_be_published_by_what_was_silent() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let silent = story.expect_request(&[1]);
    story.pass(6 * SECOND);
    let refused = story.expect_request(&[1]);
    story.refuse(refused, "no", false);
    story.expect_failed(&[1], "ambiguous: ");
    story.lanes.handle_accepted(silent);
    assert_eq!(story.published_late(), [[1]]);
}

#[test]
fn of_what_was_answered_nothing_is_remembered() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    for _ in 0..3 {
        let id = story.expect_request(&[1]);
        let refusal = Refusal {
            error: "timed out",
            code: Some(TIMED_OUT),
            retryable: Some(true),
        };
        story.lanes.handle_refused(id, &refusal, story.now);
        story.pass(SECOND);
    }
    story.expect_failed(&[1], "ambiguous: ");
    assert!(story.lanes.given_up.is_empty());
    assert_eq!(story.late(), 0);
}

#[test]
fn what_is_refused_for_good_is_remembered_until_all_that_was_silent_is_answered() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let silent = story.expect_request(&[1]);
    story.pass(6 * SECOND);
    let refused = story.expect_request(&[1]);
    story.refuse(refused, "no", false);
    story.expect_failed(&[1], "ambiguous: ");
    assert!(!story.lanes.given_up.is_empty());
    story.refuse(silent, "no", false);
    assert!(story.lanes.given_up.is_empty());
}

#[test]
fn what_is_too_large_when_it_is_sent_again_waits_for_no_answer_to_that() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let id = story.expect_request(&[1]);
    story.refuse(id, "nobody knows", true);
    story.pass(SECOND);
    let again = story.expect_request(&[1]);
    story.lanes.handle_too_large(again, 2, 1);
    assert_eq!(story.settled().len(), 1);
    assert!(story.lanes.given_up.is_empty());
}

#[test]
fn nothing_is_remembered_of_a_connection_that_is_gone() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let sent = story.give_up();
    story.expect_failed(&[1], "ambiguous: ");
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.lanes.handle_accepted(sent[0]);
    assert_eq!(story.published_late(), [[0; 0]; 0]);
}

#[test]
fn answers_that_come_late_to_what_is_sent_again_are_counted() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let first = story.expect_request(&[1]);
    story.pass(6 * SECOND);
    let second = story.expect_request(&[1]);
    story.refuse(first, "late", true);
    assert_eq!(story.late(), 1);
    story.pass(6 * SECOND);
    story.expect_request(&[1]);
    story.lanes.handle_accepted(second);
    story.expect_published(&[1]);
    assert_eq!(story.late(), 2);
    story.expect_nothing_left();
}
