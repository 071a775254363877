mod kept;
mod model;
mod parked;
mod silent;
mod transport;

use bytes::Bytes;

use super::*;
use crate::delivery::Producer;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

const OURS: Peer = Peer {
    batches: true,
    window: 1000,
};
const OLD: Peer = Peer {
    batches: false,
    window: 8,
};
const AWAY_AND_BACK: Duration = Duration::from_millis(10);

fn id(n: u8) -> EffectId {
    EffectId::from_bytes([n; 16])
}

fn publish_to(lane: &str, channel: &str, n: u8, bytes: usize) -> SideEffect {
    SideEffect {
        id: id(n),
        lane: LaneKey::new(lane),
        route: None,
        key: IdempotencyKey::Uuid(id(n).as_uuid()),
        operation: Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload: Bytes::from(vec![b'x'; bytes]),
        },
        bytes,
        is_ordered: false,
    }
}

fn publish(lane: &str, n: u8) -> SideEffect {
    publish_to(lane, lane, n, 1)
}

fn object_set(lane: &str, n: u8) -> SideEffect {
    SideEffect {
        operation: Operation::ObjectSet {
            channel: lane.into(),
            key: "k".into(),
            value: Bytes::from_static(b"1"),
        },
        ..publish(lane, n)
    }
}

/// Lanes, a clock, and what is seen of the outside.
struct Story {
    lanes: Lanes<()>,
    arrivals: u64,
    now: Instant,
}

impl Story {
    fn new(config: Config, peer: Option<Peer>) -> Self {
        let mut lanes = Lanes::new(config);
        if let Some(peer) = peer {
            lanes.handle_connected(peer);
        }
        // As after a while without trouble.
        for _ in 0..100 {
            lanes.pace.handle_success(1);
        }
        let now = Instant::now();
        Self {
            lanes,
            arrivals: 0,
            now,
        }
    }

    fn with(peer: Peer, effects: impl IntoIterator<Item = SideEffect>) -> Self {
        let mut story = Self::new(Config::default(), Some(peer));
        story.submit(effects);
        story
    }

    fn submit(&mut self, effects: impl IntoIterator<Item = SideEffect>) {
        for effect in effects {
            self.arrivals += 1;
            self.submit_at(self.arrivals, effect);
        }
    }

    fn submit_at(&mut self, arrival: u64, effect: SideEffect) {
        let producer = Producer(0);
        let place = Place { arrival, producer };
        self.lanes.handle_submit(effect, place, (), self.now);
    }

    /// The next request, as its id and the effects in it.
    fn request(&mut self) -> Option<(RequestId, Vec<u8>)> {
        let request = self.lanes.poll_request(self.now)?;
        let effects = request.effects.iter();
        Some((request.id, effects.map(|e| e.id.as_bytes()[0]).collect()))
    }

    fn expect_request(&mut self, effects: &[u8]) -> RequestId {
        let (id, sent) = self.request().expect("a request");
        assert_eq!(sent, effects);
        id
    }

    fn refuse(&mut self, id: RequestId, error: &str, retryable: bool) {
        let refusal = Refusal {
            error,
            code: None,
            retryable: Some(retryable),
        };
        self.lanes.handle_refused(id, &refusal, self.now);
    }

    /// Lets time pass, waking the lanes exactly when they ask for it.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.lanes.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.lanes.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Everything settled since last asked: which, and the error's text.
    fn settled(&mut self) -> Vec<(u8, Option<String>)> {
        let mut all = Vec::new();
        while let Some(settled) = self.lanes.poll_settled() {
            let error = settled.outcome.err().map(|failure| failure.to_string());
            all.push((settled.id.as_bytes()[0], error));
        }
        all
    }

    fn expect_published(&mut self, effects: &[u8]) {
        let expected: Vec<_> = effects.iter().map(|n| (*n, None)).collect();
        assert_eq!(self.settled(), expected);
    }

    fn expect_failed(&mut self, effects: &[u8], text: &str) {
        for n in effects {
            let settled = self.lanes.poll_settled().expect("settled");
            assert_eq!(settled.id, id(*n));
            let error = settled.outcome.expect_err("failed").to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    fn expect_nothing_left(&mut self) {
        assert_eq!(self.settled(), []);
        assert!(self.request().is_none());
        assert_eq!(self.lanes.poll_timeout(), None);
        assert_eq!(self.lanes.depth(self.now).effects, 0);
        assert!(self.lanes.is_empty() && self.lanes.has_room());
        assert_eq!((self.lanes.bytes, self.lanes.requests_in_flight), (0, 0));
        assert_eq!(self.lanes.recent_requests, 0);
    }
}

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
fn a_batch_holds_neighbours_of_one_channel_and_never_an_object_set() {
    let mut story = Story::with(
        OURS,
        [
            publish_to("s", "x", 1, 1),
            publish_to("s", "x", 2, 1),
            publish_to("s", "y", 3, 1),
            object_set("s", 4),
            object_set("s", 5),
            publish_to("s", "x", 6, 1),
        ],
    );
    for batch in [&[1, 2][..], &[3], &[4], &[5], &[6]] {
        let id = story.expect_request(batch);
        story.lanes.handle_accepted(id);
        story.expect_published(batch);
    }
    story.expect_nothing_left();
}

#[test]
fn a_batch_stays_within_its_limits_but_one_message_always_goes() {
    let config = Config::default();
    let half = config.batch_bytes_max / 2;
    let sizes = [half, half - 100, 200, config.batch_bytes_max * 4, 1];
    let effects = (1..).zip(sizes);
    let effects = effects.map(|(n, bytes)| publish_to("a", "c", n, bytes));
    let mut story = Story::with(OURS, effects);
    for batch in [&[1, 2][..], &[3], &[4], &[5]] {
        let id = story.expect_request(batch);
        story.lanes.handle_accepted(id);
    }

    let mut story = Story::with(OURS, (0..40).map(|n| publish("a", n)));
    let (_, batch) = story.request().unwrap();
    assert_eq!(batch.len(), config.batch_messages_max);
}

#[test]
fn a_peer_without_batches_gets_one_effect_at_a_time() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2)]);
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_request(&[2]);
}

#[test]
fn a_retry_is_the_same_batch_and_goes_before_what_came_later() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    let first = story.lanes.poll_request(story.now).unwrap();
    let (first, base) = (first.id, first.base());
    story.submit([publish("a", 3)]);
    story.refuse(first, "try later", true);
    assert!(story.request().is_none());

    story.pass(Duration::from_millis(499));
    assert!(story.request().is_none());
    story.pass(Duration::from_millis(1));
    let again = story.lanes.poll_request(story.now).unwrap();
    assert_eq!(again.base(), base);
    assert_ne!(again.id, first);
    let again = again.id;
    story.lanes.handle_accepted(again);
    story.expect_published(&[1, 2]);
    story.expect_request(&[3]);
}

#[test]
fn a_different_list_of_effects_has_another_base() {
    let base = |effects: &[u8]| {
        let mut story = Story::with(OURS, effects.iter().map(|n| publish("a", *n)));
        let request = story.lanes.poll_request(story.now).unwrap();
        request.base()
    };
    assert_eq!(base(&[1, 2]), base(&[1, 2]));
    assert_ne!(base(&[1, 2]), base(&[2, 1]));
    assert_ne!(base(&[1, 2]), base(&[1, 2, 3]));
}

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
    let place = Place {
        arrival: 1000,
        producer: Producer(7),
    };
    let late = publish("late", 200);
    story.lanes.handle_submit(late, place, (), story.now);
    story.lanes.handle_accepted(first);
    let (_, next) = story.request().expect("a request");
    let (_, then) = story.request().expect("a request");
    assert!(next == [200] || then == [200]);
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
fn a_full_lane_refuses_until_it_is_empty_and_others_do_not_care() {
    let config = Config {
        lane_effects_max: 2,
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

#[test]
fn what_was_one_batch_before_is_one_batch_again_with_the_same_base() {
    let alone: Vec<SideEffect> = (2..=3).map(|n| publish("a", n)).collect();
    let mut before = Story::with(OURS, alone.clone());
    let base = before.lanes.poll_request(before.now).expect("sent").base();

    let mut story = Story::with(OURS, [publish("a", 1)]);
    let place = |arrival| Place {
        arrival,
        producer: Producer(0),
    };
    let batch = (2..).zip(alone).map(|(n, effect)| (effect, place(n), ()));
    story.lanes.handle_batch(batch, story.now);
    story.submit_at(4, publish("a", 4));
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    let again = story.lanes.poll_request(story.now).expect("sent");
    assert_eq!(again.base(), base);
    let second = again.id;
    story.lanes.handle_accepted(second);
    story.expect_request(&[4]);
}
