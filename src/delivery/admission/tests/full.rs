//! What comes behind an effect that found no room, of a lane that holds none, and
//! what becomes of that when it comes again.

use super::*;

fn lane_full() -> Failure {
    let text = "too many effects wait in lanes that stand still, or may";
    Failure::new(Class::LaneFull, text)
}

const FULL: &str = "lane_full: too many";

/// What those are told that come behind this one.
fn behind(n: u8) -> String {
    let first = id(n);
    format!("lane_full: not sent, because {first} before it was turned away and has not come again")
}

impl Story {
    /// There is no room for this one now, and its daemon is told.
    pub(super) fn shut_out(&mut self, effect: SideEffect) {
        let now = self.boot_time;
        let admitted = self.admission.handle_submit(effect, A, 'a', now);
        let admitted = admitted.expect("let through");
        self.admission.handle_shut_out(admitted, lane_full(), now);
        let answers = self.answers();
        assert!(answers[0].2.starts_with(FULL), "{answers:?}");
    }

    /// The only answer to this effect, once it had its chance.
    pub(super) fn fate(&mut self, effect: SideEffect, producer: Producer) -> String {
        self.submit(effect, producer, 'a');
        self.publish();
        let answers = self.answers();
        assert_eq!(answers.len(), 1);
        answers.into_iter().next().expect("one").2
    }
}

#[test]
fn what_was_on_its_way_behind_it_does_not_take_the_room_that_comes() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    for n in [2, 3] {
        assert_eq!(story.fate(plain("s", n), A), behind(1));
    }
    for n in [1, 2, 3] {
        assert_eq!(story.fate(plain("s", n), A), "ok");
    }
}

#[test]
fn neither_other_lanes_nor_other_connections_are_shut() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    assert_eq!(story.fate(plain("other", 2), A), "ok");
    assert_eq!(story.fate(plain("s", 3), B), "ok");
    let elsewhere = SideEffect {
        route: Some("other".into()),
        ..plain("s", 4)
    };
    assert_eq!(story.fate(elsewhere, A), "ok");
}

#[test]
fn it_comes_again_under_another_id_too() {
    let mut story = Story::new();
    story.shut_out(message(1, 1));
    story.admission.gaps = Gaps::default();
    assert_eq!(story.fate(message(2, 2), A), behind(1));
    story.admission.gaps = Gaps::default();
    assert_eq!(story.fate(message(3, 1), A), "ok");
    assert_eq!(story.fate(message(4, 2), A), "ok");
}

#[test]
fn what_failed_before_it_goes_before_it() {
    let mut story = Story::new();
    story.submit(plain("s", 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled")]);
    story.shut_out(plain("s", 2));
    assert_eq!(story.fate(plain("s", 3), A), behind(2));
    for n in [1, 2, 3] {
        assert_eq!(story.fate(plain("s", n), A), "ok");
    }
}

#[test]
fn what_failed_before_it_opens_nothing_to_what_came_behind_it() {
    let mut story = Story::new();
    story.submit(plain("s", 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled")]);
    story.shut_out(plain("s", 2));
    assert_eq!(story.fate(plain("s", 1), A), "ok");
    assert_eq!(story.fate(plain("s", 3), A), behind(2));
    for n in [2, 3] {
        assert_eq!(story.fate(plain("s", n), A), "ok");
    }
}

#[test]
fn turned_away_again_it_is_waited_for_again() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    story.shut_out(plain("s", 1));
    assert_eq!(story.fate(plain("s", 2), A), behind(1));
}

#[test]
fn a_daemon_that_never_sends_it_again_is_held_up_for_two_seconds() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    story.pass(Duration::from_millis(1999));
    assert_eq!(story.fate(plain("s", 2), A), behind(1));
    story.pass(Duration::from_millis(1));
    assert_eq!(story.fate(plain("s", 3), A), "ok");
}

/// It comes again, is let through, and fails for this reason then.
fn fail_again(story: &mut Story, effect: SideEffect, class: Class) {
    let now = story.boot_time;
    let admitted = story.admission.handle_submit(effect, A, 'a', now);
    let admitted = admitted.expect("let through");
    let failure = Failure::new(class, "not now");
    story.admission.handle_refused(admitted, failure, now);
    assert_eq!(story.answers().len(), 1);
}

#[test]
fn refused_for_another_reason_when_it_comes_again_it_is_waited_for_as_long_again() {
    let behind = format!("throttled: not sent, because {} before it failed", id(1));
    for class in [Class::Unrecorded, Class::Ambiguous, Class::Parked] {
        let mut story = Story::new();
        story.shut_out(plain("s", 1));
        story.pass(Duration::from_millis(1900));
        fail_again(&mut story, plain("s", 1), class);
        story.pass(Duration::from_millis(1999));
        let told = story.fate(plain("s", 2), A);
        assert!(told.starts_with(&behind), "{told}");
        story.pass(Duration::from_millis(1));
        assert_eq!(story.fate(plain("s", 3), A), "ok", "it never came");
    }
}

#[test]
fn refused_for_another_reason_it_opens_its_lane_when_it_comes_again() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    fail_again(&mut story, plain("s", 1), Class::Unrecorded);
    for n in [1, 2] {
        assert_eq!(story.fate(plain("s", n), A), "ok");
    }
}

#[test]
fn refused_for_good_when_it_comes_again_it_is_waited_for_no_more() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    fail_again(&mut story, plain("s", 1), Class::Rejected);
    assert_eq!(story.fate(plain("s", 2), A), "ok");
}

#[test]
fn what_fails_long_after_it_came_again_shuts_nothing() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    story.submit(plain("s", 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled")]);
    assert_eq!(story.fate(plain("s", 2), A), "ok");
}

#[test]
fn behind_what_joined_another_its_lane_is_open_until_that_fails() {
    let mut story = Story::new();
    let now = story.boot_time;
    story.shut_out(plain("s", 1));
    let same = story.admission.handle_submit(plain("s", 1), B, 'b', now);
    let same = same.expect("B was told of no room");
    story.submit(plain("s", 1), A, 'a');
    let behind = story.admission.handle_submit(plain("s", 2), A, 'a', now);
    let behind = behind.expect("it comes behind the first");
    for admitted in [same, behind] {
        let failure = Failure::new(Class::Throttled, "not now");
        story.admission.handle_refused(admitted, failure, now);
    }
    assert_eq!(story.answers().len(), 3);
    assert_ne!(story.fate(plain("s", 3), A), "ok");
    for n in [1, 2, 3] {
        assert_eq!(story.fate(plain("s", n), A), "ok");
    }
}

#[test]
fn to_a_connection_that_is_closed_no_lane_is_shut() {
    let mut story = Story::new();
    story.shut_out(plain("s", 1));
    story.admission.handle_closed(A);
    assert_eq!(story.fate(plain("s", 2), A), "ok");
}
