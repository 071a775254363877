//! Lanes that stand still, and transports that are quiet.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl Story {
    /// Which lanes stand still, or go on, since last asked.
    fn moved(&mut self) -> Vec<(String, bool)> {
        let moved = std::iter::from_fn(|| self.lanes.poll_still());
        moved.map(|(lane, is)| (lane.to_string(), is)).collect()
    }

    fn expect_moved(&mut self, lane: &str, is_still: bool) {
        assert_eq!(self.moved(), [(lane.to_owned(), is_still)]);
    }

    fn refuse_with(&mut self, id: RequestId, code: u32) {
        let refusal = Refusal {
            error: "no",
            code: Some(code),
            retryable: Some(true),
        };
        self.lanes.handle_refused(id, &refusal, self.now);
    }
}

/// So long that a request is slow, and not so long that its lane stands still.
const SLOW: Duration = Duration::from_millis(300);

#[test]
fn a_lane_that_is_not_answered_for_a_second_while_others_are_stands_still_until_it_is() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    story.pass(SLOW);
    story.submit([publish("b", 2)]);
    let other = story.expect_request(&[2]);
    story.lanes.handle_accepted(other);
    story.pass(Duration::from_millis(699));
    assert_eq!(story.moved(), []);
    story.pass(Duration::from_millis(1));
    story.expect_moved("a", true);
    story.submit([publish("a", 3)]);
    story.lanes.handle_accepted(request);
    story.expect_moved("a", false);
}

#[test]
fn while_nobody_is_answered_no_lane_stands_still_before_its_attempt_is_over() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2)]);
    story.expect_request(&[1]);
    let other = story.expect_request(&[2]);
    // Sent after it, but before it was slow.
    story.lanes.handle_accepted(other);
    story.submit([publish("b", 3)]);
    let other = story.expect_request(&[3]);
    story.pass(4 * SECOND);
    assert_eq!(story.moved(), []);
    story.lanes.handle_accepted(other);
    story.pass(2 * SECOND);
    story.expect_moved("a", true);
}

#[test]
fn a_falco_that_was_stopped_for_long_finds_no_lane_still_because_of_that() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    story.now += 4 * SECOND;
    story.lanes.handle_timeout(story.now);
    assert_eq!(story.moved(), []);
    story.lanes.handle_accepted(request);
    assert_eq!(story.moved(), []);
}

#[test]
fn a_lane_stands_still_from_one_attempt_to_the_next_and_when_it_begins_anew() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    for _ in 0..3 {
        story.expect_request(&[1]);
        story.pass(Duration::from_millis(5650));
    }
    story.expect_failed(&[1], "ambiguous: ");
    assert_eq!(story.moved(), [("a".into(), true), ("a".into(), false)]);
    story.submit([publish("a", 2), publish("b", 3)]);
    story.expect_moved("a", true);
}

#[test]
fn what_ably_cannot_take_twice_stands_still_and_what_waits_for_the_transport_does_not() {
    for (code, stands) in [(50_000, true), (80_003, false), (42_910, false)] {
        let mut story = Story::with(OURS, [publish("a", 1)]);
        let request = story.expect_request(&[1]);
        story.refuse_with(request, code);
        assert_eq!(story.moved(), [], "{code}: once says little");
        assert_eq!(story.lanes.is_ill(&LaneKey::new("a")), code != 42_910);
        story.pass(2 * SECOND);
        let request = story.expect_request(&[1]);
        story.refuse_with(request, code);
        assert_eq!(!story.moved().is_empty(), stands, "{code}");
    }
}

#[test]
fn a_transport_is_quiet_while_what_was_sent_last_is_not_answered_either() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2)]);
    story.expect_request(&[1]);
    let later = story.expect_request(&[2]);
    story.lanes.handle_accepted(later);
    story.pass(SECOND);
    assert!(!story.lanes.is_quiet(), "another was answered");

    story.submit([publish("b", 3)]);
    let later = story.expect_request(&[3]);
    story.pass(SECOND);
    assert!(story.lanes.is_quiet());
    assert!(!story.lanes.is_down(), "it is there");
    story.lanes.handle_accepted(later);
    assert!(!story.lanes.is_quiet());
    story.pass(SECOND);
    story.expect_moved("a", true);
}

#[test]
fn a_transport_that_is_away_is_quiet_after_a_second_if_something_waits_for_it() {
    let mut story = Story::new(Config::default(), None);
    story.pass(2 * SECOND);
    story.submit([publish("a", 1)]);
    story.pass(Duration::from_millis(999));
    assert!(!story.lanes.is_quiet());
    story.pass(Duration::from_millis(1));
    assert!(story.lanes.is_quiet() && story.lanes.is_down());

    story.lanes.handle_connected(OURS);
    let request = story.expect_request(&[1]);
    story.lanes.handle_accepted(request);
    assert!(!story.lanes.is_quiet());
    story.lanes.handle_disconnected(story.now);
    story.pass(2 * SECOND);
    assert!(!story.lanes.is_quiet(), "nothing waits");
}

#[test]
fn a_transport_without_ably_is_quiet_too() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    story.refuse_with(request, 80_003);
    story.pass(SECOND);
    assert!(story.lanes.is_quiet());
}

#[test]
fn behind_what_found_no_room_none_finds_some_before_the_lane_is_empty() {
    let mut story = Story::with(OLD, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    story.lanes.handle_full(&LaneKey::new("a"));
    story.lanes.handle_full(&LaneKey::new("b"));
    story.submit([publish("a", 2), publish("b", 3)]);
    story.expect_failed(&[2], "lane_full: ");
    story.lanes.handle_accepted(request);
    story.expect_published(&[1]);
    story.submit([publish("a", 4)]);
    assert_eq!(story.settled(), []);
}

#[test]
fn a_lane_is_slow_from_a_moment_after_its_request_until_that_is_answered_or_over() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2)]);
    let request = story.expect_request(&[1]);
    story.pass(Duration::from_millis(249));
    assert_eq!(story.lanes.poll_slow(), None);
    story.pass(Duration::from_millis(1));
    let a = LaneKey::new("a");
    assert_eq!(story.lanes.poll_slow(), Some((a.clone(), true)));
    story.lanes.handle_accepted(request);
    assert_eq!(story.lanes.poll_slow(), Some((a, false)));

    story.expect_request(&[2]);
    story.pass(SLOW);
    let b = LaneKey::new("b");
    assert_eq!(story.lanes.poll_slow(), Some((b.clone(), true)));
    story.pass(5 * SECOND);
    assert_eq!(story.lanes.poll_slow(), Some((b, false)), "it stands still");
}

#[test]
fn a_lane_that_others_have_shown_to_stand_still_is_told_when_they_go_on() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.expect_request(&[1]);
    story.pass(SLOW);
    story.submit([publish("b", 2)]);
    let other = story.expect_request(&[2]);
    story.pass(Duration::from_millis(400));
    story.submit([publish("c", 3)]);
    story.expect_request(&[3]);
    story.pass(Duration::from_millis(400));
    story.lanes.handle_accepted(other);
    story.pass(Duration::from_millis(700));
    let a = LaneKey::new("a");
    story.expect_moved("a", true);
    assert!(story.lanes.is_quiet(), "nothing later was answered");
    assert!(!story.lanes.is_alone(&a));
    assert_eq!(story.lanes.poll_alone(), None);

    story.submit([publish("b", 4)]);
    let other = story.expect_request(&[4]);
    story.lanes.handle_accepted(other);
    assert!(story.lanes.is_alone(&a));
    assert_eq!(story.lanes.poll_alone(), Some(a));
    assert_eq!(story.lanes.poll_alone(), None);
}

#[test]
fn of_a_lane_that_stood_still_and_was_answered_before_anybody_looked_nobody_is_told() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    story.pass(SLOW);
    story.submit([publish("b", 2)]);
    let other = story.expect_request(&[2]);
    story.lanes.handle_accepted(other);
    story.pass(SECOND);
    story.submit([publish("a", 3)]);
    story.lanes.handle_accepted(request);
    assert_eq!(story.lanes.poll_alone(), None);
}

#[test]
fn what_is_too_much_is_the_latest_of_its_connection_and_nothing_that_is_on_its_way() {
    let whose = |n| if n == 3 { Producer(1) } else { Producer(0) };
    let mut story = Story::with(OLD, []);
    for n in 1..=6 {
        let place = Place::new(n.into(), whose(n));
        let submitted = Submitted::new(publish("a", n), place, (), story.now);
        story.lanes.handle_submit(submitted);
    }
    let request = story.expect_request(&[1]);
    let (a, much) = (LaneKey::new("a"), Amount::one(0));
    assert!(!story.lanes.handle_surplus(&a, Producer(1), much));
    assert!(story.lanes.handle_surplus(&a, Producer(0), much));
    story.expect_failed(&[6], "lane_full: too many effects wait");
    let bytes = Amount {
        effects: 1,
        bytes: 2,
    };
    assert!(story.lanes.handle_surplus(&a, Producer(0), bytes));
    story.expect_failed(&[4, 5], "lane_full: too many effects wait");
    assert!(
        !story.lanes.handle_surplus(&a, Producer(0), bytes),
        "another's is behind it"
    );
    assert!(story.lanes.handle_surplus(&a, Producer(1), bytes));
    story.expect_failed(&[3], "lane_full: too many effects wait");
    assert!(story.lanes.handle_surplus(&a, Producer(0), bytes));
    assert!(!story.lanes.handle_surplus(&a, Producer(0), bytes));
    story.expect_failed(&[2], "lane_full: too many effects wait");
    story.submit([publish("a", 7)]);
    story.expect_failed(&[7], "lane_full: its lane has 1 effect waiting already");
    story.lanes.handle_accepted(request);
    story.expect_published(&[1]);
}
