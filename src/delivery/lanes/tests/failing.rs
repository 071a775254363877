use super::*;

#[test]
fn three_attempts_that_time_out_fail_the_effect_and_all_behind_it() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2), publish("b", 3)]);
    story.expect_request(&[1]);
    let other = story.expect_request(&[3]);
    story.lanes.handle_accepted(other);
    story.expect_published(&[3]);
    for _ in 0..2 {
        story.pass(Duration::from_millis(5150));
        assert_eq!(story.settled(), []);
        story.pass(Duration::from_millis(500));
        story.expect_request(&[1]);
    }
    story.pass(Duration::from_millis(5150));
    story.expect_failed(
        &[1],
        "ambiguous: publish failed after retries: no answer within 5s",
    );
    story.expect_failed(&[2], "throttled: publish failed after retries: not sent");
    story.expect_nothing_left();
}

#[test]
fn three_refusals_that_may_be_retried_fail_with_the_last_reason() {
    let mut story = Story::with(OURS, [object_set("a", 1)]);
    for error in ["one", "two", "three"] {
        let id = story.expect_request(&[1]);
        let refusal = Refusal {
            error,
            code: Some(42_910),
            retryable: Some(true),
        };
        story.lanes.handle_refused(id, &refusal, story.now);
        story.pass(Duration::from_millis(500));
    }
    story.expect_failed(&[1], "throttled: publish failed after retries: three");
    story.expect_nothing_left();
}

#[test]
fn what_once_was_ambiguous_stays_so_whatever_comes_after() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.expect_request(&[1]);
    story.pass(Duration::from_millis(5650));
    for _ in 0..2 {
        let id = story.expect_request(&[1]);
        let refusal = Refusal {
            error: "slow down",
            code: Some(42_910),
            retryable: Some(true),
        };
        story.lanes.handle_refused(id, &refusal, story.now);
        story.pass(Duration::from_millis(500));
    }
    story.expect_failed(&[1], "ambiguous: publish failed after retries: slow down");
}

#[test]
fn a_definite_refusal_is_not_retried_and_the_lane_goes_on() {
    let mut story = Story::with(OLD, [publish("a", 1), object_set("a", 2), publish("a", 3)]);
    let id = story.expect_request(&[1]);
    story.refuse(id, "no such thing", false);
    story.expect_failed(&[1], "rejected: publish rejected: no such thing");
    let id = story.expect_request(&[2]);
    story.refuse(id, "no", false);
    story.expect_failed(&[2], "rejected: object set rejected: no");
    story.expect_request(&[3]);
}

#[test]
fn what_may_have_been_published_is_never_called_rejected_and_nothing_overtakes_it() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2)]);
    story.expect_request(&[1]);
    story.pass(Duration::from_millis(5650));
    let id = story.expect_request(&[1]);
    story.refuse(id, "no such thing", false);
    story.expect_failed(
        &[1],
        "ambiguous: publish rejected: no such thing; an earlier",
    );
    story.expect_failed(&[2], "throttled: ");
    story.expect_nothing_left();
}

#[test]
fn a_batch_that_may_have_been_published_stays_doubtful_when_it_is_taken_apart() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2), publish("a", 3)]);
    story.expect_request(&[1, 2, 3]);
    story.pass(Duration::from_millis(5650));
    let id = story.expect_request(&[1, 2, 3]);
    story.submit([publish("a", 4)]);
    story.refuse(id, "one of you", false);
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    let id = story.expect_request(&[2]);
    story.refuse(id, "you", false);
    story.expect_failed(&[2], "ambiguous: publish rejected: you; an earlier");
    story.expect_failed(&[3], "ambiguous: publish failed");
    story.expect_failed(&[4], "throttled: ");
}

#[test]
fn of_a_rejected_batch_only_the_culprit_fails() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2), publish("a", 3)]);
    let id = story.expect_request(&[1, 2, 3]);
    story.submit([publish("a", 4), publish("a", 5)]);
    story.refuse(id, "one of you", false);
    assert_eq!(story.settled(), []);

    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    let id = story.expect_request(&[2]);
    story.refuse(id, "you", false);
    let id = story.expect_request(&[3]);
    story.lanes.handle_accepted(id);
    assert_eq!(
        story.settled(),
        [
            (1, None),
            (2, Some("rejected: publish rejected: you".into())),
            (3, None)
        ]
    );
    story.expect_request(&[4, 5]);
}

#[test]
fn a_late_acceptance_still_publishes() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    let first = story.expect_request(&[1, 2]);
    story.pass(Duration::from_millis(5200));
    story.lanes.handle_accepted(first);
    story.expect_published(&[1, 2]);
    story.expect_nothing_left();

    let mut story = Story::with(OURS, [publish("a", 1)]);
    let first = story.expect_request(&[1]);
    story.pass(Duration::from_millis(5650));
    let second = story.expect_request(&[1]);
    story.submit([publish("a", 2)]);
    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    let next = story.expect_request(&[2]);
    story.lanes.handle_accepted(second);
    story.refuse(second, "late", false);
    assert_eq!(story.settled(), []);
    story.lanes.handle_accepted(next);
    story.expect_published(&[2]);
    story.expect_nothing_left();
}

#[test]
fn a_late_refusal_means_nothing() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let first = story.expect_request(&[1]);
    story.pass(Duration::from_millis(5650));
    let second = story.expect_request(&[1]);
    story.refuse(first, "late", false);
    assert_eq!(story.settled(), []);
    story.lanes.handle_accepted(second);
    story.expect_published(&[1]);
}

#[test]
fn a_second_answer_and_an_unknown_one_mean_nothing() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    story.submit([publish("b", 2)]);
    let second = story.expect_request(&[2]);
    assert_eq!(first.slot, second.slot);
    story.lanes.handle_accepted(first);
    story.refuse(first, "no", false);
    for id in [
        RequestId { slot: 99, ..second },
        RequestId {
            attempt: 2,
            ..second
        },
        RequestId {
            attempt: 0,
            ..second
        },
    ] {
        story.lanes.handle_accepted(id);
    }
    assert_eq!(story.settled(), []);
    story.lanes.handle_accepted(second);
    story.expect_published(&[2]);
}

#[test]
fn what_was_held_up_on_its_way_is_answered_in_its_time_also_behind_younger_ones() {
    let mut story = Story::new(Config::default(), None);
    let early = story.now;
    story.pass(Duration::from_secs(10));
    story.submit([publish("a", 1)]);
    let place = Place::new(2, Producer(1));
    story
        .lanes
        .handle_submit(Submitted::new(publish("a", 2), place, (), early));
    story.pass(Duration::from_millis(6499));
    assert_eq!(story.settled(), []);
    story.pass(Duration::from_millis(1));
    story.expect_failed(&[2], "throttled: ");
    story.pass(Duration::from_millis(9999));
    assert_eq!(story.settled(), [], "it has a time of its own");
    story.pass(Duration::from_millis(1));
    story.expect_failed(&[1], "throttled: ");
}
