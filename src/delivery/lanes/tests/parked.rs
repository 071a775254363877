//! Lanes that stop behind what was refused for good.

use super::*;

fn parking(mut config: Config) -> Config {
    config.on_rejected = OnRejected::Park;
    config
}

fn story(peer: Peer, effects: impl IntoIterator<Item = SideEffect>) -> Story {
    let mut story = Story::new(parking(Config::default()), Some(peer));
    story.submit(effects);
    story
}

#[test]
fn nothing_behind_a_rejected_effect_goes_out_and_other_lanes_go_on() {
    let effects = [publish("a", 1), publish("a", 2), publish("b", 3)];
    let mut story = story(OLD, effects);
    let first = story.expect_request(&[1]);
    let other = story.expect_request(&[3]);
    story.refuse(first, "no", false);
    story.expect_failed(&[1], "rejected: ");
    story.expect_failed(&[2], "parked: waits for 01010101-");
    story.lanes.handle_accepted(other);
    story.expect_published(&[3]);
    story.expect_nothing_left();
}

#[test]
fn of_a_rejected_batch_what_is_before_the_culprit_is_published_and_the_rest_is_parked() {
    let effects = [publish("a", 1), publish("a", 2), publish("a", 3)];
    let mut story = story(OURS, effects);
    let batch = story.expect_request(&[1, 2, 3]);
    story.refuse(batch, "one of you", false);
    assert_eq!(story.settled(), []);
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    let second = story.expect_request(&[2]);
    story.refuse(second, "you", false);
    story.expect_failed(&[2], "rejected: ");
    story.expect_failed(&[3], "parked: waits for 02");
    story.expect_nothing_left();
}

#[test]
fn what_is_too_large_parks_too_and_only_the_culprit_is_said_to_park() {
    let mut story = story(OLD, [publish("a", 1), publish("a", 2)]);
    let id = story.expect_request(&[1]);
    story.lanes.handle_too_large(id, 10, 9);
    let parks = [1, 2].map(|_| story.lanes.poll_settled().expect("settled").parks);
    assert_eq!(parks, [true, false]);
}

#[test]
fn what_fails_for_now_parks_nothing() {
    let mut story = story(OLD, [publish("a", 1), publish("a", 2)]);
    story.pass(Duration::from_secs(60));
    for _ in 0..2 {
        let settled = story.lanes.poll_settled().expect("settled");
        let class = settled.outcome.expect_err("failed").class;
        assert!(!settled.parks && class != Class::Parked, "{class:?}");
    }
}

#[test]
fn a_kept_effect_that_is_given_up_parks_its_lane() {
    let config = parking(Config::for_outbox(Duration::from_secs(5)));
    let mut story = Story::new(config, Some(OLD));
    story.submit([publish("a", 1), publish("a", 2)]);
    for _ in 0..25 {
        story.pass(Duration::from_secs(30));
        let (id, _) = story.request().expect("another attempt");
        let refusal = Refusal {
            error: "try later",
            code: Some(50_000),
            retryable: Some(true),
        };
        story.lanes.handle_refused(id, &refusal, story.now);
    }
    let first = story.lanes.poll_settled().expect("settled");
    assert!(first.parks && first.attempts == 25);
    story.expect_failed(&[2], "parked: ");
    story.expect_nothing_left();
}
