use std::time::Duration;

use super::*;
use crate::delivery::gaps::PATIENCE;
use crate::protocol::id::LaneKey;

struct Story {
    fences: Fences,
    now: BootTime,
    arrivals: u64,
}

fn id(n: u8) -> EffectId {
    EffectId::from_bytes([n; 16])
}

fn stream(lane: &LaneKey, producer: u64) -> Stream<'_> {
    Stream {
        lane,
        route: None,
        producer: Producer(producer),
    }
}

fn fail(fences: &mut Fences, stream: &Stream<'_>, id: EffectId, place: u64, now: BootTime) {
    fences.fail(stream, id, place, now.after(PATIENCE), now);
}

/// It passes, or is refused and has to come again, too; what has to come before it
/// then.
fn arrive(
    fences: &mut Fences,
    stream: &Stream<'_>,
    id: EffectId,
    place: u64,
    now: BootTime,
) -> Option<EffectId> {
    let Some(Wait { first, until }) = fences.arrive(stream, id, now) else {
        fences.pass(stream, id, None);
        return None;
    };
    fences.fail(stream, id, place, until, now);
    Some(first)
}

impl Story {
    fn with_failed(failed: &[u8]) -> Self {
        let mut story = Self {
            fences: Fences::default(),
            now: BootTime::default(),
            arrivals: 100,
        };
        for n in failed {
            story.fail_at(u64::from(*n), *n);
        }
        story
    }

    fn fail_at(&mut self, place: u64, n: u8) {
        let lane = LaneKey::new("s");
        let stream = stream(&lane, 1);
        fail(&mut self.fences, &stream, id(n), place, self.now);
    }

    /// Which effect has to come before this one.
    fn arrive(&mut self, lane: &str, producer: u64, n: u8) -> Option<EffectId> {
        let lane = LaneKey::new(lane);
        let stream = stream(&lane, producer);
        self.arrivals += 1;
        arrive(&mut self.fences, &stream, id(n), self.arrivals, self.now)
    }

    fn expect_nothing_held(&self) {
        assert!(self.fences.standing.is_empty());
        assert!(self.fences.by_whose.is_empty());
        assert!(self.fences.ends.is_empty());
        assert_eq!(self.fences.effects, 0);
    }
}

#[test]
fn what_was_on_its_way_behind_a_failure_waits_until_all_before_it_came_again() {
    let mut story = Story::with_failed(&[5, 6]);
    assert_eq!(story.arrive("s", 1, 7), Some(id(5)));
    assert_eq!(story.arrive("s", 1, 8), Some(id(5)));
    assert_eq!(story.arrive("s", 1, 6), Some(id(5)), "out of its order");
    for n in [5, 6] {
        assert_eq!(story.arrive("s", 1, n), None);
    }
    assert_eq!(story.arrive("s", 1, 8), Some(id(7)));
    for n in [7, 8, 9] {
        assert_eq!(story.arrive("s", 1, n), None);
    }
    story.expect_nothing_held();
}

#[test]
fn those_that_were_given_one_place_are_all_waited_for_in_the_order_they_failed() {
    let mut story = Story::with_failed(&[]);
    for n in [5, 6, 7] {
        story.fail_at(9, n);
    }
    for expected in [5, 6, 7] {
        assert_eq!(story.arrive("s", 1, 8), Some(id(expected)));
        assert_eq!(story.arrive("s", 1, expected), None);
    }
    assert_eq!(story.arrive("s", 1, 8), None);
    story.expect_nothing_held();
}

#[test]
fn an_effect_that_fails_twice_stands_once_where_it_stood_first() {
    let mut story = Story::with_failed(&[5, 6]);
    story.fail_at(7, 5);
    for n in [5, 6, 8] {
        assert_eq!(story.arrive("s", 1, n), None);
    }
    story.expect_nothing_held();
}

#[test]
fn other_lanes_and_other_connections_pass() {
    let mut story = Story::with_failed(&[5]);
    assert_eq!(story.arrive("other", 1, 7), None);
    assert_eq!(story.arrive("s", 2, 7), None);
    assert_eq!(story.arrive("s", 1, 7), Some(id(5)));
}

#[test]
fn a_fence_is_gone_with_its_connection_and_after_thirty_seconds() {
    let mut story = Story::with_failed(&[5]);
    story.fences.close(Producer(1));
    story.expect_nothing_held();

    let mut story = Story::with_failed(&[5]);
    story.now = story.now.after(PATIENCE);
    assert_eq!(story.arrive("s", 1, 7), None);
    story.expect_nothing_held();
}

#[test]
fn what_is_settled_is_taken_out_where_it_stood_and_nowhere_else() {
    let mut story = Story::with_failed(&[5]);
    let lanes = ["a", "b", "s"].map(LaneKey::new);
    for lane in &lanes[..2] {
        fail(&mut story.fences, &stream(lane, 1), id(5), 5, story.now);
    }
    let standing = story.fences.standing_at(&stream(&lanes[2], 1), id(5));
    let standing = standing.expect("it has to come again");
    for _ in 0..3 {
        story.fences.settle(standing, id(5));
        assert_eq!(story.fences.effects, 2);
    }
    story.fail_at(6, 5);
    story.fences.settle(standing, id(5));
    assert_eq!(story.arrive("s", 1, 7), Some(id(5)), "it is another fence");
    assert_eq!(story.arrive("a", 1, 7), Some(id(5)));
}

#[test]
fn a_connection_that_closes_takes_all_its_fences_and_no_other() {
    let mut story = Story::with_failed(&[]);
    let lane = LaneKey::new("s");
    for producer in 1..=3 {
        for route in [None, Some(""), Some("r")] {
            let stream = Stream {
                route,
                ..stream(&lane, producer)
            };
            fail(&mut story.fences, &stream, id(5), 5, story.now);
        }
    }
    for (producer, left) in [(2, 6), (1, 3), (1, 3), (3, 0)] {
        story.fences.close(Producer(producer));
        assert_eq!(story.fences.effects, left);
    }
    story.expect_nothing_held();
}

#[test]
fn no_more_effects_are_held_than_the_bound() {
    let mut fences = Fences::default();
    let lane = LaneKey::new("s");
    for n in 0..70_000 {
        let stream = stream(&lane, n);
        fail(&mut fences, &stream, id(1), n, BootTime::default());
    }
    assert_eq!(fences.effects, EFFECTS_MAX);
    assert_eq!(fences.refused(), 70_000 - EFFECTS_MAX as u64);
}

#[test]
fn what_fails_after_a_fence_is_over_waits_for_nothing_of_that() {
    let mut story = Story::with_failed(&[5]);
    story.now = story.now.after(PATIENCE);
    story.fail_at(6, 6);
    assert_eq!(story.arrive("s", 1, 7), Some(id(6)));
    assert_eq!(story.arrive("s", 1, 6), None);
    assert_eq!(story.arrive("s", 1, 7), None);
    story.expect_nothing_held();
}

#[test]
fn whatever_is_over_makes_room_at_once() {
    let mut fences = Fences::default();
    let lane = LaneKey::new("s");
    let began = BootTime::default();
    for n in 0..EFFECTS_MAX as u64 {
        let now = began.after(Duration::from_millis(n % 2));
        fail(&mut fences, &stream(&lane, n), id(1), n, now);
    }
    let over = began.after(PATIENCE);
    for (n, now) in [
        (70_000, over.before(Duration::from_millis(1))),
        (70_001, over),
    ] {
        let stream = stream(&lane, n);
        fail(&mut fences, &stream, id(2), n, now);
        let is_held = fences.arrive(&stream, id(3), now).is_some();
        assert_eq!(is_held, now == over);
    }
}

#[test]
fn what_came_again_and_failed_once_more_stands_before_those_of_its_place_that_have_not() {
    let mut story = Story::with_failed(&[]);
    for n in [5, 6, 7] {
        story.fail_at(9, n);
    }
    for n in [5, 6] {
        assert_eq!(story.arrive("s", 1, n), None);
    }
    for n in [5, 6] {
        story.fail_at(9, n);
    }
    for n in [5, 6, 7] {
        assert_eq!(story.arrive("s", 1, 8), Some(id(n)));
        assert_eq!(story.arrive("s", 1, n), None);
    }
    assert_eq!(story.arrive("s", 1, 8), None);
    story.expect_nothing_held();
}
