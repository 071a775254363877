use super::*;

#[test]
fn a_lane_sends_nothing_while_one_request_is_in_flight() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let first = story.expect_request(&[1]);
    story.submit([publish("a", 2), publish("a", 3)]);
    assert!(story.request().is_none());

    story.lanes.handle_accepted(first);
    story.expect_published(&[1]);
    let second = story.expect_request(&[2, 3]);
    story.lanes.handle_accepted(second);
    story.expect_published(&[2, 3]);
    story.expect_nothing_left();
}

#[test]
fn a_lane_holds_an_effect_until_it_has_its_outcome() {
    let peer = Peer {
        batches: false,
        window: 8,
    };
    let mut story = Story::with(peer, [publish("a", 1)]);
    let request = story.expect_request(&[1]);
    assert!(story.lanes.holds(&LaneKey::new("a")));
    assert!(!story.lanes.holds(&LaneKey::new("b")));
    story.lanes.handle_accepted(request);
    assert!(!story.lanes.holds(&LaneKey::new("a")));
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2), publish("c", 3)]);
    story.expect_request(&[1]);
    let b = story.expect_request(&[2]);
    story.expect_request(&[3]);
    story.lanes.handle_accepted(b);
    story.expect_published(&[2]);
}

#[test]
fn a_busy_lane_takes_its_turn_behind_those_that_wait_already() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2), publish("b", 3)]);
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    story.expect_request(&[3]);
    story.expect_request(&[2]);
}

#[test]
fn no_more_requests_are_out_than_the_peer_takes() {
    let mut story = Story::with(OLD, (0..20).map(|n| publish(&n.to_string(), n)));
    let ids: Vec<_> = std::iter::from_fn(|| story.request()).collect();
    assert_eq!(ids.len(), OLD.window);
    story.lanes.handle_accepted(ids[3].0);
    assert!(story.request().is_some());
    assert!(story.request().is_none());
}

#[test]
fn a_transport_that_comes_back_gets_a_little_at_first_and_twice_as_much_each_round_trip() {
    let mut story = Story::with(OURS, []);
    story.lanes.handle_disconnected(story.now);
    story.submit((0..40).map(|n| publish(&n.to_string(), n)));
    story.lanes.handle_connected(OURS);
    for expected in [4, 8, 16, 12] {
        let sent: Vec<_> = std::iter::from_fn(|| story.request()).collect();
        assert_eq!(sent.len(), expected);
        for (id, _) in sent {
            story.lanes.handle_accepted(id);
        }
    }
}

#[test]
fn lanes_that_are_never_answered_take_no_room_from_others_for_long() {
    let mut story = Story::with(OURS, []);
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.submit((0..5).map(|n| publish(&n.to_string(), n)));
    for n in 0..4 {
        story.expect_request(&[n]);
    }
    assert!(story.request().is_none());
    story.pass(Duration::from_millis(250));
    story.expect_request(&[4]);
}

#[test]
fn when_all_lanes_fail_one_tries_for_them_and_its_success_frees_the_others() {
    let mut story = Story::with(OURS, (0..9).map(|n| publish(&n.to_string(), n)));
    for (id, _) in std::iter::from_fn(|| story.request()).collect::<Vec<_>>() {
        story.refuse(id, "not now", true);
    }
    story.pass(Duration::from_millis(1500));
    let (probe, _) = story.request().expect("a probe");
    assert!(story.request().is_none(), "one at a time");
    story.lanes.handle_accepted(probe);
    assert!(story.request().is_some() && story.request().is_some());
}

#[test]
fn connections_take_turns_however_many_lanes_one_has() {
    let mut story = Story::with(OLD, []);
    for n in 0..100_u8 {
        story.submit_at(u64::from(n), publish(&n.to_string(), n));
    }
    let first = story.request().expect("a request").0;
    let place = Place::new(1000, Producer(7));
    let late = publish("late", 200);
    story
        .lanes
        .handle_submit(Submitted::new(late, place, (), story.now));
    story.lanes.handle_accepted(first);
    let (_, next) = story.request().expect("a request");
    let (_, then) = story.request().expect("a request");
    assert!(next == [200] || then == [200]);
}

#[test]
fn what_failed_and_comes_again_takes_its_old_place_among_what_waits() {
    let mut story = Story::new(Config::default(), None);
    for (arrival, n) in [(4, 4), (5, 5), (1, 1), (2, 2)] {
        story.submit_at(arrival, publish("a", n));
    }
    story.lanes.handle_connected(OURS);
    story.expect_request(&[1, 2, 4, 5]);
}

#[test]
fn what_comes_again_after_a_later_one_was_sent_waits_at_the_end() {
    let mut story = Story::new(Config::default(), Some(OLD));
    for (arrival, n) in [(4, 4), (5, 5)] {
        story.submit_at(arrival, publish("a", n));
    }
    let id = story.expect_request(&[4]);
    for (arrival, n) in [(1, 1), (2, 2), (6, 6)] {
        story.submit_at(arrival, publish("a", n));
    }
    story.lanes.handle_accepted(id);
    for n in [5, 1, 2, 6] {
        let id = story.expect_request(&[n]);
        story.lanes.handle_accepted(id);
    }
}
