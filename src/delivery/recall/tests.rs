use bytes::Bytes;

use super::*;
use crate::delivery::{Place, Producer};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

struct Story {
    recall: Recall<()>,
    arrivals: u64,
    now: Instant,
}

fn publish(channel: &str) -> Operation {
    Operation::Publish {
        channel: channel.into(),
        event: "e".into(),
        payload: Bytes::new().into(),
    }
}

fn key(n: u8) -> IdempotencyKey {
    IdempotencyKey::Uuid(Uuid::from_bytes([n; 16]))
}

impl Story {
    fn with_lists(lists: &[&[u8]]) -> Self {
        let lists = lists.iter().map(|list| {
            list.iter()
                .map(|n| listed(&publish("c"), &key(*n)))
                .collect()
        });
        let now = Instant::now();
        Self {
            recall: Recall::new(lists, now),
            arrivals: 0,
            now,
        }
    }

    fn arrive(&mut self, lane: &str, n: u8) {
        self.arrive_as(lane, n, publish("c"));
    }

    fn arrive_as(&mut self, lane: &str, n: u8, operation: Operation) {
        let effect = SideEffect {
            id: EffectId::from_bytes([n; 16]),
            lane: LaneKey::new(lane),
            route: None,
            key: key(n),
            operation,
            bytes: 1,
            is_ordered: false,
        };
        self.arrivals += 1;
        let place = Place::new(self.arrivals, Producer(1));
        let submitted = Submitted::new(effect, place, (), self.now);
        self.recall.handle(submitted, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.recall.handle_timeout(self.now);
    }

    /// What has gone on; several numbers are one batch.
    fn passed(&mut self) -> Vec<Vec<u8>> {
        let number = |submitted: &Submitted<()>| submitted.effect.id.as_bytes()[0];
        let passed = std::iter::from_fn(|| self.recall.poll_passed());
        let numbers = passed.map(|passed| match passed {
            Passed::One(one) => vec![number(&one)],
            Passed::Batch(all) => all.iter().map(number).collect(),
        });
        numbers.collect()
    }
}

#[test]
fn a_batch_that_was_sent_before_is_made_up_again() {
    let mut story = Story::with_lists(&[&[1, 2, 3]]);
    story.arrive("a", 1);
    story.arrive("a", 2);
    assert!(story.passed().is_empty());
    story.arrive("a", 3);
    story.arrive("a", 4);
    assert_eq!(story.passed(), [vec![1, 2, 3], vec![4]]);
    story.pass(KNOWN);
    assert!(story.recall.is_idle());
}

#[test]
fn what_is_held_takes_room_until_it_goes_on() {
    let mut story = Story::with_lists(&[&[1, 2, 3], &[4, 5], &[6, 7], &[8, 9]]);
    for (lane, n) in [("a", 1), ("a", 2), ("b", 4), ("c", 6), ("d", 8)] {
        story.arrive(lane, n);
    }
    assert_eq!(story.recall.amount().effects, 5);
    story.arrive("a", 3);
    assert_eq!(story.recall.amount().effects, 3);
    assert_eq!(story.recall.give_back(&LaneKey::new("b")).len(), 1);
    assert_eq!(story.recall.amount().effects, 2);
    story.arrive("c", 99);
    assert_eq!(story.recall.amount(), Amount::one(1));
    story.pass(PATIENCE);
    assert_eq!(story.recall.amount(), Amount::default());
}

#[test]
fn batches_of_several_lanes_are_made_up_side_by_side() {
    let mut story = Story::with_lists(&[&[1, 2], &[3, 4]]);
    for (lane, n) in [("a", 1), ("b", 3), ("c", 9), ("b", 4), ("a", 2)] {
        story.arrive(lane, n);
    }
    assert_eq!(story.passed(), [vec![9], vec![3, 4], vec![1, 2]]);
}

#[test]
fn another_effect_of_the_lane_ends_the_wait_and_keeps_the_order() {
    let mut story = Story::with_lists(&[&[1, 2, 3], &[7, 8]]);
    for n in [1, 2, 7, 8] {
        story.arrive("a", n);
    }
    assert_eq!(story.passed(), [vec![1], vec![2], vec![7, 8]]);
}

#[test]
fn nobody_waits_longer_than_a_second() {
    let mut story = Story::with_lists(&[&[1, 2]]);
    story.arrive("a", 1);
    let due = story.recall.poll_timeout().expect("a time");
    assert_eq!(due - story.now, PATIENCE);
    story.pass(PATIENCE);
    assert_eq!(story.passed(), [vec![1]]);
    story.arrive("a", 2);
    assert_eq!(story.passed(), [vec![2]]);
    assert!(!story.recall.holds(&LaneKey::new("a")));
}

#[test]
fn what_comes_once_more_is_made_up_once_more_until_the_server_has_forgotten_it() {
    let mut story = Story::with_lists(&[&[1, 2]]);
    story.pass(KNOWN.checked_sub(PATIENCE).expect("a time"));
    for _ in 0..2 {
        story.arrive("a", 1);
        story.arrive("a", 2);
        assert_eq!(story.passed(), [vec![1, 2]]);
    }
    story.pass(PATIENCE);
    story.arrive("a", 1);
    story.arrive("a", 2);
    assert_eq!(story.passed(), [vec![1], vec![2]]);
}

#[test]
fn lists_are_forgotten_when_the_server_has_forgotten_them() {
    let mut story = Story::with_lists(&[&[1, 2]]);
    story.pass(KNOWN);
    assert!(story.recall.is_idle());
    assert_eq!(story.recall.poll_timeout(), None);
}

#[test]
fn the_same_key_on_another_channel_or_of_an_object_set_is_another_effect() {
    let set = Operation::ObjectSet {
        channel: "c".into(),
        key: "k".into(),
        value: Bytes::new().into(),
    };
    for other in [publish("d"), set] {
        let mut story = Story::with_lists(&[&[1, 2]]);
        story.arrive("a", 1);
        story.arrive_as("a", 2, other);
        assert_eq!(story.passed(), [vec![1], vec![2]]);
    }
}

#[test]
fn what_went_out_alone_goes_out_alone_again() {
    let mut story = Story::with_lists(&[&[1]]);
    story.arrive("a", 1);
    story.arrive("a", 2);
    let first = story.recall.poll_passed();
    assert!(matches!(first, Some(Passed::Batch(alone)) if alone.len() == 1));
    assert_eq!(story.passed(), [vec![2]]);
}

fn keys(numbers: &[u8]) -> Vec<Uuid> {
    let keys = numbers.iter().map(|n| listed(&publish("c"), &key(*n)));
    keys.collect()
}

#[test]
fn what_is_told_later_is_forgotten_later() {
    let mut story = Story::with_lists(&[&[1, 2]]);
    story.pass(KNOWN / 2);
    story.recall.remember(keys(&[3, 4]), story.now);
    story.pass(KNOWN / 2);
    for n in [1, 2, 3, 4] {
        story.arrive("a", n);
    }
    assert_eq!(story.passed(), [vec![1], vec![2], vec![3, 4]]);
}

#[test]
fn each_list_is_forgotten_within_seconds_of_its_time_and_no_list_has_a_wakeup_of_its_own() {
    let mut story = Story::with_lists(&[&[1, 2]]);
    story.pass(KNOWN / 2);
    story.recall.remember(keys(&[3, 4]), story.now);
    story.pass(KNOWN / 2);
    assert!(!story.recall.is_idle());
    story.pass(KNOWN / 2);
    assert!(story.recall.is_idle(), "no later than what was told last");

    let began = story.now;
    for n in 0..100_u8 {
        story.recall.remember(keys(&[n, 0]), story.now);
        story.pass(Duration::from_millis(500));
    }
    let (mut last, mut wakeups) = (story.now, 0);
    while let Some(at) = story.recall.poll_timeout() {
        (story.now, last, wakeups) = (at, at, wakeups + 1);
        story.recall.handle_timeout(at);
    }
    assert!(last <= began + Duration::from_secs(50) + KNOWN + OVER_FOR);
    assert!(wakeups <= 7, "{wakeups}");
}

#[test]
fn no_more_lists_are_kept_than_there_is_room_for() {
    let mut story = Story::with_lists(&[]);
    for n in 0..LISTS_MAX {
        let list = vec![Uuid::from_u128(n as u128)];
        story.recall.remember(list, story.now);
    }
    story.recall.remember(keys(&[5, 6]), story.now);
    story.arrive("a", 5);
    assert_eq!(story.passed(), [vec![5]]);
}

#[test]
fn nothing_is_held_back_once_falco_stops() {
    let mut story = Story::with_lists(&[]);
    story.recall.handle_shutdown();
    story.recall.remember(keys(&[1, 2]), story.now);
    story.arrive("a", 1);
    assert_eq!(story.passed(), [vec![1]]);
}

#[test]
fn what_waits_for_others_that_are_published_goes_nowhere() {
    let lane = LaneKey::new("a");
    let ids = |numbers: &[u8]| -> Vec<_> {
        let ids = numbers.iter().map(|n| EffectId::from_bytes([*n; 16]));
        ids.collect()
    };
    let mut story = Story::with_lists(&[&[1, 2, 3]]);
    story.arrive("a", 1);
    story.arrive("a", 2);
    for other in [&[1][..], &[1, 2], &[2, 3, 1], &[1, 2, 3, 4], &[]] {
        let given = story.recall.handle_published(&lane, &ids(other));
        assert!(given.is_empty(), "{other:?} is another list");
    }
    let given = story.recall.handle_published(&lane, &ids(&[1, 2, 3]));
    assert_eq!(given.len(), 2);
    assert_eq!(story.recall.amount(), Amount::default());
    story.pass(PATIENCE);
    assert!(story.passed().is_empty());
}
