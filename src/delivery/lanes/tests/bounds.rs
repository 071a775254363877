use super::*;

#[test]
fn a_full_lane_refuses_until_it_is_empty_and_others_do_not_care() {
    let config = Config {
        lane_effects_max: 2,
        held_effects_max: 0,
        ..Config::default()
    };
    let mut story = Story::new(config, Some(OLD));
    story.submit([1, 2, 3].map(|n| publish("a", n)));
    story.submit([publish("b", 4)]);
    story.expect_failed(&[3], "lane_full: ");

    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    story.submit([publish("a", 5)]);
    story.expect_failed(&[5], "lane_full: ");

    story.expect_request(&[4]);
    let id = story.expect_request(&[2]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[2]);
    story.submit([publish("a", 6)]);
    assert_eq!(story.settled(), []);
}

#[test]
fn a_lane_is_also_bounded_in_bytes_and_so_are_all_together() {
    let config = Config {
        lane_bytes_max: 100,
        held_bytes_max: 0,
        bytes_max: 120,
        ..Config::default()
    };
    let mut story = Story::new(config, Some(OURS));
    story.submit([publish_to("a", "a", 1, 90), publish_to("a", "a", 2, 90)]);
    story.expect_failed(&[2], "lane_full: ");
    assert!(story.lanes.has_room());
    story.submit([publish_to("b", "b", 3, 90)]);
    assert!(!story.lanes.has_room());
}

#[test]
fn stopping_fails_what_waits_and_gives_what_is_out_time_to_be_answered() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2), publish("b", 3)]);
    let first = story.expect_request(&[1]);
    story.expect_request(&[3]);
    story.lanes.handle_shutdown();
    story.expect_failed(&[2], "shutting_down: ");
    story.submit([publish("c", 4)]);
    story.expect_failed(&[4], "shutting_down: ");

    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    story.lanes.handle_shutdown_deadline();
    story.expect_failed(&[3], "shutting_down: ");
    story.expect_nothing_left();
}

#[test]
fn while_stopping_nothing_is_sent_again() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2)]);
    let id = story.expect_request(&[1]);
    story.expect_request(&[2]);
    story.lanes.handle_shutdown();
    story.refuse(id, "later", true);
    story.expect_failed(&[1], "shutting_down: ");
    story.lanes.handle_disconnected(story.now);
    story.expect_failed(&[2], "shutting_down: ");
    story.expect_nothing_left();
}

#[test]
fn the_depth_counts_what_is_there() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2), publish("b", 3)]);
    story.expect_request(&[1, 2]);
    story.submit([publish("a", 4)]);
    story.pass(Duration::from_secs(1));
    let depth = story.lanes.depth(story.now);
    assert_eq!((depth.lanes, depth.effects, depth.in_flight), (2, 4, 2));
    assert_eq!(depth.oldest, Duration::from_secs(1));
}

#[test]
fn a_lane_that_goes_on_or_may_holds_more_than_one_that_stands_still() {
    let config = Config {
        lane_effects_max: 2,
        held_effects_max: 1,
        ..Config::default()
    };
    for is_still in [false, true] {
        let mut story = Story::new(config.clone(), Some(OLD));
        story.submit([publish("a", 1), publish("a", 2)]);
        story.expect_request(&[1]);
        if is_still {
            story.pass(Duration::from_millis(5200));
        }
        story.submit([publish("a", 3), publish("a", 4)]);
        let refused: &[u8] = if is_still { &[3, 4] } else { &[4] };
        story.expect_failed(refused, "lane_full: ");
        assert_eq!(story.settled(), []);
    }
}

#[test]
fn a_lane_that_is_found_to_stand_still_refuses_what_it_holds_beyond_what_such_a_lane_may() {
    let config = Config {
        lane_effects_max: 2,
        held_effects_max: 2,
        ..Config::default()
    };
    let mut story = Story::new(config, Some(OLD));
    story.submit([1, 2, 3, 4].map(|n| publish("a", n)));
    let request = story.expect_request(&[1]);
    story.pass(Duration::from_millis(5200));
    assert_eq!(
        story.settled(),
        [],
        "nobody is answered: it may be the transport"
    );
    story.submit([publish("b", 9)]);
    let other = story.expect_request(&[9]);
    story.lanes.handle_accepted(other);
    story.expect_published(&[9]);
    story.pass(Duration::from_secs(2));
    story.expect_failed(&[3, 4], "lane_full: its lane has 2 effects waiting already");
    story.submit([publish("a", 5)]);
    story.expect_failed(&[5], "lane_full: ");
    story.lanes.handle_accepted(request);
    story.expect_published(&[1]);
    assert_eq!(story.settled(), [], "the others go on");
}
