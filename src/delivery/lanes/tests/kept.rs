//! Effects that the outbox keeps: nothing but refusals ends them.

use super::*;
use crate::delivery::config::PAUSE_LEFT_MAX;
use crate::protocol::ipc::TIMED_OUT;

const LONG: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn kept(peer: Option<Peer>, effects: impl IntoIterator<Item = SideEffect>) -> Story {
    let mut story = Story::new(Config::for_outbox(Duration::from_secs(5)), peer);
    story.submit(effects);
    story
}

impl Story {
    /// Refuses whatever comes next, as Ably would, so many times.
    pub(super) fn refuse_next(&mut self, code: u32, times: u32) {
        for _ in 0..times {
            self.pass(Duration::from_secs(30));
            let (id, _) = self.request().expect("another attempt");
            let refusal = Refusal {
                error: "try later",
                code: Some(code),
                retryable: Some(true),
            };
            self.lanes.handle_refused(id, &refusal, self.now);
        }
    }
}

#[test]
fn without_a_transport_a_kept_effect_waits_for_ever_and_no_attempt_is_counted() {
    let mut story = kept(None, [publish("a", 1)]);
    story.pass(LONG);
    for _ in 0..100 {
        story.lanes.handle_connected(OURS);
        story.expect_request(&[1]);
        story.pass(Duration::from_secs(2));
        story.lanes.handle_disconnected(story.now);
    }
    assert_eq!(story.settled(), []);
}

#[test]
fn a_lane_whose_front_is_tried_in_vain_is_told_until_it_goes_on() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    assert_eq!(story.lanes.stuck().next(), None, "nothing was tried");
    story.pass(Duration::from_secs(1));
    let first = story.now;
    story.refuse_next(TIMED_OUT, 1);
    story.submit([publish("b", 2), publish("a", 3)]);
    for _ in 0..6 {
        story.refuse_next(TIMED_OUT, 1);
    }
    let stuck = story.lanes.stuck().next().expect("stuck");
    assert_eq!((&*stuck.lane.to_string(), stuck.effects), ("a", 2));
    assert_eq!(stuck.front.as_bytes()[0], 1);
    assert!(first <= stuck.since && stuck.since < story.now);
    assert!(1 < stuck.attempts);
    assert_eq!(&*stuck.failure.text, "try later");

    // Without a transport every lane stands still.
    story.lanes.handle_disconnected(story.now);
    assert_eq!(story.lanes.stuck().next(), None);
    story.lanes.handle_connected(OURS);
    assert_eq!(
        &*story.lanes.stuck().next().expect("still").lane.to_string(),
        "a"
    );
    let mut left = 3;
    while 0 < left {
        story.pass(Duration::from_secs(30));
        while let Some((id, effects)) = story.request() {
            left -= effects.len();
            story.lanes.handle_accepted(id);
        }
    }
    assert_eq!(story.lanes.stuck().next(), None);
}

#[test]
fn silence_and_a_lost_upstream_count_as_no_attempt() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    story.refuse_next(80_003, 100);
    assert_eq!(story.lanes.stuck().next(), None, "it is not to blame");
    story.refuse_next(TIMED_OUT, 100);
    assert!(story.lanes.stuck().next().is_some());
    for _ in 0..100 {
        story.pass(Duration::from_secs(30));
        story.expect_request(&[1]);
        story.pass(Duration::from_secs(6));
    }
    assert_eq!(story.settled(), []);
    story.pass(Duration::from_secs(30));
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    story.expect_nothing_left();
}

#[test]
fn a_rate_limit_counts_as_no_attempt_whoever_sets_it() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    story.refuse_next(42_911, 100);
    story.refuse_next(42_913, 100);
    assert_eq!(story.settled(), []);
    story.pass(Duration::from_secs(30));
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    story.expect_nothing_left();
}

#[test]
fn the_twenty_fifth_refusal_ends_a_kept_effect_and_its_lane_goes_on() {
    let mut story = kept(Some(OLD), [publish("a", 1), publish("a", 2)]);
    story.refuse_next(50_000, 24);
    assert_eq!(story.settled(), []);
    story.refuse_next(50_000, 1);
    let settled = story.lanes.poll_settled().expect("settled");
    let failure = settled.outcome.expect_err("given up");
    assert_eq!((settled.id, settled.attempts), (id(1), 25));
    assert_eq!(
        (failure.class, failure.code),
        (Class::Ambiguous, Some(50_000))
    );
    let next = story.expect_request(&[2]);
    story.lanes.handle_accepted(next);
    story.expect_published(&[2]);
    story.expect_nothing_left();
}

#[test]
fn a_batch_that_is_refused_for_too_long_is_taken_apart() {
    let mut story = kept(Some(OURS), [publish("a", 1), publish("a", 2)]);
    story.refuse_next(50_000, 25);
    assert_eq!(story.settled(), []);
    let alone = story.expect_request(&[1]);
    story.lanes.handle_accepted(alone);
    story.expect_published(&[1]);
    story.refuse_next(50_000, 25);
    story.expect_failed(&[2], "ambiguous: publish failed after 25 attempts");
    story.expect_nothing_left();
}

#[test]
fn a_batch_that_is_too_much_for_too_long_is_taken_apart_and_nothing_of_it_ends() {
    let mut story = kept(Some(OURS), [publish("a", 1), publish("a", 2)]);
    story.refuse_next(42_911, 25);
    assert_eq!(story.settled(), []);
    let alone = story.expect_request(&[1]);
    story.lanes.handle_accepted(alone);
    story.refuse_next(42_911, 100);
    story.expect_published(&[1]);
}

#[test]
fn pauses_double_up_to_half_a_minute() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let (id, _) = story.request().expect("an attempt");
        story.refuse(id, "no connection", true);
        let due = story.lanes.poll_timeout().expect("a pause");
        pauses.push(due - story.now);
        story.pass(due - story.now);
    }
    let base = Duration::from_millis(500);
    for (n, pause) in (0..).zip(pauses) {
        let full = (base * 2u32.pow(n)).min(Duration::from_secs(30));
        assert!(full / 2 <= pause && pause <= full, "{n}: {pause:?}");
    }
}

#[test]
fn one_success_soon_ends_the_pauses_of_all_lanes_the_transport_kept_back() {
    let mut story = kept(Some(OURS), [publish("a", 1), publish("b", 2)]);
    for _ in 0..6 {
        story.pass(Duration::from_secs(30));
        while let Some((id, _)) = story.request() {
            let refusal = Refusal {
                error: "not connected",
                code: Some(80_003),
                retryable: Some(true),
            };
            story.lanes.handle_refused(id, &refusal, story.now);
        }
    }
    let due = story.lanes.poll_timeout().expect("pauses");
    story.pass(due - story.now);
    let (first, _) = story.request().expect("the first is up");
    story.pass(PAUSE_LEFT_MAX);
    assert!(story.request().is_none(), "the other pauses");
    story.lanes.handle_accepted(first);
    assert!(story.request().is_none(), "not all in one moment");
    story.pass(PAUSE_LEFT_MAX);
    assert!(story.request().is_some(), "the other is woken");
}

#[test]
fn what_ably_refused_waits_out_its_pause_whatever_is_over_meanwhile() {
    let mut story = kept(Some(OURS), [publish("refused", 1)]);
    story.refuse_next(50_000, 10);
    let pause = story.lanes.poll_timeout().expect("a pause") - story.now;
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.submit([publish("healthy", 2)]);
    let healthy = story.expect_request(&[2]);
    story.lanes.handle_accepted(healthy);
    assert!(story.request().is_none());
    let moment = Duration::from_millis(1);
    story.pass(pause.saturating_sub(moment));
    assert!(story.request().is_none(), "before its time");
    story.pass(moment);
    story.expect_request(&[1]);
}

#[test]
fn what_is_withdrawn_is_given_back_with_all_behind_it_unless_it_is_on_its_way() {
    let effects = [publish("a", 1), publish("a", 2), publish("a", 3)];
    let mut story = kept(Some(OLD), effects);
    let lane = LaneKey::new("a");
    let first = story.expect_request(&[1]);
    let mut withdraw = |n| {
        let taken = story.lanes.handle_withdrawn(&lane, id(n));
        taken
            .into_iter()
            .map(|effect| effect.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(withdraw(1), []);
    assert_eq!(withdraw(2), [id(2), id(3)], "what is behind it too");
    assert_eq!(withdraw(2), []);
    story.refuse(first, "later", true);
    assert_eq!(story.lanes.handle_withdrawn(&lane, id(1)).len(), 1);
    story.expect_nothing_left();
}
