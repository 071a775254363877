//! What failed over one connection and comes again over another.

use super::*;

impl Story {
    /// These failed for now over connection A, in this order.
    fn failed(effects: impl IntoIterator<Item = SideEffect>) -> Self {
        let mut story = Self::new();
        let count = effects.into_iter().fold(0, |count, effect| {
            story.submit(effect, A, 'a');
            count + 1
        });
        story.pass(Duration::from_secs(17));
        assert_eq!(story.answers().len(), count);
        story
    }
}

#[test]
fn a_gate_opens_when_what_it_waits_for_comes_again_though_it_is_published() {
    let mut story = Story::failed([message(1, 1)]);
    story.submit(message(1, 1), B, 'b');
    story.publish();
    story.expect(&[('b', 1, "ok")]);
    story.submit(message(1, 1), A, 'a');
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.publish(), [2]);
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok")]);
}

#[test]
fn a_fence_falls_when_what_it_waits_for_comes_again_though_it_is_published() {
    let mut story = Story::failed([ordered(1)]);
    story.submit(ordered(1), B, 'b');
    story.publish();
    story.expect(&[('b', 1, "ok")]);
    story.submit(ordered(1), A, 'a');
    story.submit(ordered(2), A, 'a');
    story.publish();
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok")]);
}

#[test]
fn behind_what_is_on_its_way_for_another_connection_the_next_number_may_follow() {
    let mut story = Story::failed([message(1, 1)]);
    story.submit(message(1, 1), B, 'b');
    story.submit(message(1, 1), A, 'a');
    story.submit(message(2, 2), A, 'a');
    story.publish();
    story.expect(&[('b', 1, "ok"), ('a', 1, "ok"), ('a', 2, "ok")]);
}

#[test]
fn what_wants_order_and_is_on_its_way_for_another_connection_is_not_overtaken() {
    for class in [Class::LaneFull, Class::Unrecorded] {
        let mut story = Story::new();
        let now = story.boot_time;
        let all = [1, 2].map(|n| story.admission.handle_submit(ordered(n), A, 'a', now));
        for admitted in all {
            let failure = Failure::new(class, "not now");
            let admitted = admitted.expect("let through");
            story.admission.handle_refused(admitted, failure, now);
        }
        story.admission.handle_told();
        story.answers();
        story.submit(ordered(1), B, 'b');
        story.submit(ordered(1), A, 'a');
        story.submit(ordered(2), A, 'a');
        story.publish();
        story.expect(&[('a', 2, "gap: resend"), ('b', 1, "ok"), ('a', 1, "ok")]);
        story.submit(ordered(2), A, 'a');
        story.publish();
        story.expect(&[('a', 2, "ok")]);
    }
}

#[test]
fn what_is_rejected_for_another_connection_is_waited_for_no_more() {
    let mut story = Story::new();
    let now = story.boot_time;
    let all = [1, 2].map(|n| story.admission.handle_submit(ordered(n), A, 'a', now));
    for admitted in all {
        let failure = Failure::new(Class::LaneFull, "not now");
        let admitted = admitted.expect("let through");
        story.admission.handle_refused(admitted, failure, now);
    }
    story.admission.handle_told();
    story.answers();
    let of_b = story.admission.handle_submit(ordered(1), B, 'b', now);
    story.submit(ordered(1), A, 'a');
    let failure = Failure::new(Class::Rejected, "never");
    let of_b = of_b.expect("let through");
    story.admission.handle_refused(of_b, failure, now);
    story.expect(&[('b', 1, "rejected: "), ('a', 1, "rejected: ")]);
    story.submit(ordered(2), A, 'a');
    story.publish();
    story.expect(&[('a', 2, "ok")]);
}

#[test]
fn what_joined_and_failed_is_waited_for_again_before_those_behind_it() {
    for class in [Class::Unrecorded, Class::LaneFull] {
        let mut story = Story::new();
        let now = story.boot_time;
        let admit = |story: &mut Story, n, producer| {
            story
                .admission
                .handle_submit(ordered(n), producer, 'x', now)
        };
        let fail = |story: &mut Story, admitted: Option<Admitted>| {
            let admitted = admitted.expect("let through");
            let failure = Failure::new(class, "not now");
            story.admission.handle_refused(admitted, failure, now);
            story.admission.handle_told();
        };
        let all = [1, 2, 3].map(|n| admit(&mut story, n, A));
        for admitted in all {
            fail(&mut story, admitted);
        }
        let others = admit(&mut story, 1, B);
        assert!(admit(&mut story, 1, A).is_none(), "it is joined");
        assert!(admit(&mut story, 2, A).is_none(), "it overtakes");
        fail(&mut story, others);
        for n in [2, 3] {
            assert!(admit(&mut story, n, A).is_none(), "the first is before it");
        }
        for n in 1..=3 {
            assert!(admit(&mut story, n, A).is_some(), "{n} is next");
        }
    }
}

#[test]
fn a_gate_is_shut_again_when_what_joined_fails() {
    let mut story = Story::failed([message(1, 1)]);
    story.submit(message(1, 1), B, 'b');
    story.submit(message(1, 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('b', 1, "throttled"), ('a', 1, "throttled")]);
    story.submit(message(2, 2), A, 'a');
    story.expect(&[('a', 2, "gap: expected 1")]);
}

/// Over A, the first was turned away and the second was tried in vain, and both are
/// told: only the second has a place from there.
fn only_the_second_was_tried() -> Story {
    let mut story = Story::new();
    let now = story.boot_time;
    let both = [1, 2].map(|n| story.admission.handle_submit(numbered(n), A, 'a', now));
    for (admitted, class) in both.into_iter().zip([Class::LaneFull, Class::Unrecorded]) {
        let failure = Failure::new(class, "not now");
        let admitted = admitted.expect("let through");
        story.admission.handle_refused(admitted, failure, now);
    }
    assert_eq!(story.answers().len(), 2);
    story
}

#[test]
fn what_failed_elsewhere_goes_before_nothing_that_its_own_connection_brought_before_it() {
    let mut story = only_the_second_was_tried();
    for n in 1..=3 {
        story.submit(numbered(n), B, 'b');
    }
    assert_eq!(story.publish(), [1, 2, 3]);
    story.expect(&[('b', 1, "ok"), ('b', 2, "ok"), ('b', 3, "ok")]);
}

#[test]
fn what_failed_elsewhere_waits_for_what_its_own_connection_brought_before_it() {
    let mut story = only_the_second_was_tried();
    let now = story.boot_time;
    let first = story.admission.handle_submit(numbered(1), B, 'b', now);
    let failure = Failure::new(Class::LaneFull, "not now");
    let first = first.expect("let through");
    story.admission.handle_refused(first, failure, now);
    story.submit(numbered(2), B, 'b');
    story.expect(&[('b', 1, "lane_full"), ('b', 2, "gap: resend 01010101")]);
    for n in 1..=2 {
        story.submit(numbered(n), B, 'b');
    }
    assert_eq!(story.publish(), [1, 2]);
    story.expect(&[('b', 1, "ok"), ('b', 2, "ok")]);
}

#[test]
fn what_failed_elsewhere_does_not_pass_a_lane_that_refused_what_came_before_it() {
    let mut story = Story::failed([message(2, 2)]);
    let now = story.boot_time;
    // Neither the number nor the flag of the first tells its order.
    let first = story.admission.handle_submit(plain("s", 1), B, 'b', now);
    let failure = Failure::new(Class::LaneFull, "not now");
    let first = first.expect("let through");
    story.admission.handle_shut_out(first, failure, now);
    story.expect(&[('b', 1, "lane_full")]);
    story.submit(message(2, 2), B, 'b');
    story.expect(&[('b', 2, "lane_full")]);
}

#[test]
fn what_failed_elsewhere_does_not_overtake_in_a_full_lane_what_its_own_connection_brought() {
    let config = Config {
        lane_effects_max: 1,
        held_effects_max: 0,
        ..Config::default()
    };
    let mut story = Story::with(config);
    story.submit(ordered(1), A, 'a');
    let now = story.boot_time;
    // Of the second nothing was tried over A, the third failed there.
    story.submit(ordered(2), A, 'a');
    let third = story.admission.handle_submit(ordered(3), A, 'a', now);
    let failure = Failure::new(Class::Throttled, "not now");
    story
        .admission
        .handle_refused(third.expect("nothing is told"), failure, now);
    assert_eq!(story.answers().len(), 2);
    for n in [2, 3] {
        story.submit(ordered(n), B, 'b');
    }
    story.expect(&[('b', 2, "lane_full"), ('b', 3, "lane_full")]);
    story.publish();
    story.expect(&[('a', 1, "ok")]);
    story.submit(ordered(3), B, 'b');
    story.expect(&[('b', 3, "gap: resend 02020202")]);
}

#[test]
fn what_another_connection_has_on_its_way_costs_what_comes_again_no_order() {
    let mut story = Story::new();
    let now = story.boot_time;
    let first = story.admission.handle_submit(numbered(1), A, 'a', now);
    story.submit(numbered(9), B, 'b');
    let request = story.lanes.poll_request(story.now).expect("a request").id;
    let failure = Failure::new(Class::LaneFull, "not now");
    let first = first.expect("nothing is before it");
    story.admission.handle_refused(first, failure, now);
    story.submit(numbered(2), A, 'a');
    assert_eq!(story.answers().len(), 2);
    story.submit(numbered(10), B, 'b');
    // The first comes too late for its place, the second does not.
    for n in [1, 2] {
        story.submit(numbered(n), A, 'a');
    }
    story.lanes.handle_accepted(request);
    let published = story.publish();
    let place = |n| published.iter().position(|number| *number == n);
    assert!(place(1) < place(2), "{published:?}");
}
