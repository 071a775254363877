//! Lanes that wait for what was refused for good.

use super::*;
use crate::delivery::{OnRejected, Refusal};

impl Story {
    fn parking() -> Self {
        Self::with(Config {
            on_rejected: OnRejected::Park,
            ..Config::default()
        })
    }

    /// The transport refuses what goes out next, for good.
    fn reject_next(&mut self) {
        let request = self.lanes.poll_request(self.now).expect("a request").id;
        let refusal = Refusal {
            error: "no",
            code: None,
            retryable: Some(false),
        };
        self.lanes.handle_refused(request, &refusal, self.now);
    }

    /// Effect 1 of three was refused for good, and all were answered.
    fn parked() -> Self {
        let mut story = Self::parking();
        for n in 1..=3 {
            story.submit(message(n, n.into()), A, 'a');
        }
        story.reject_next();
        let waits = "parked: waits for 01010101-0101";
        story.expect(&[('a', 1, "rejected: "), ('a', 2, waits), ('a', 3, waits)]);
        story
    }

    fn resume(&mut self) -> bool {
        self.admission.handle_resumed(None, &LaneKey::new("s"))
    }

    fn expect_open(&self) {
        assert_eq!(self.admission.parked_len(), 0);
    }
}

#[test]
fn behind_what_was_refused_for_good_everything_is_parked_until_it_comes_again() {
    let mut story = Story::parked();
    story.pass(Duration::from_secs(3600));
    story.submit(message(4, 4), B, 'b');
    story.submit(message(2, 2), A, 'a');
    story.expect(&[('b', 4, "parked: waits for 01"), ('a', 2, "parked: ")]);
    assert_eq!(story.publish(), [0; 0]);

    for n in 1..=3 {
        story.submit(message(n, n.into()), A, 'a');
    }
    assert_eq!(story.publish(), [1, 2, 3]);
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok"), ('a', 3, "ok")]);
    story.expect_open();
}

#[test]
fn what_its_lane_waits_for_and_found_no_room_once_goes_before_the_others_the_next_time() {
    let mut story = Story::parked();
    story.shut_out(message(1, 1));
    for n in 1..=3 {
        story.submit(message(n, n.into()), A, 'a');
    }
    assert_eq!(story.publish(), [1, 2, 3]);
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok"), ('a', 3, "ok")]);
    story.expect_open();
}

#[test]
fn under_another_id_its_idempotency_key_is_enough() {
    let mut story = Story::parked();
    story.submit(message(9, 1), B, 'b');
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.publish(), [1, 2]);
    story.expect(&[('b', 9, "ok"), ('a', 2, "ok")]);
    story.expect_open();
}

#[test]
fn who_comes_behind_it_goes_out_behind_it_or_not_at_all() {
    let mut story = Story::parked();
    story.submit(message(1, 1), A, 'a');
    story.submit(message(1, 1), B, 'b');
    story.submit(message(2, 2), A, 'a');
    story.reject_next();
    story.expect(&[
        ('a', 1, "rejected: "),
        ('b', 1, "rejected: "),
        ('a', 2, "parked: "),
    ]);
    story.submit(message(2, 2), A, 'a');
    story.expect(&[('a', 2, "parked: ")]);
}

#[test]
fn if_it_fails_again_for_now_its_lane_waits_on() {
    let mut story = Story::parked();
    story.lanes.handle_disconnected(story.now);
    story.submit(message(1, 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled: ")]);
    story.submit(message(2, 2), B, 'b');
    story.expect(&[('b', 2, "parked: waits for 01")]);

    story.lanes.handle_connected(Peer {
        batches: false,
        window: 8,
    });
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('a', 1, "ok")]);
    story.expect_open();
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.publish(), [2], "no gate waits for what is published");
}

#[test]
fn what_may_have_been_published_before_it_was_refused_parks_its_lane_too() {
    let mut story = Story::parking();
    story.submit(message(1, 1), A, 'a');
    story.lanes.poll_request(story.now).expect("a request");
    story.pass(Duration::from_millis(5150));
    story.pass(Duration::from_millis(500));
    story.reject_next();
    story.expect(&[('a', 1, "ambiguous: ")]);
    story.submit(message(2, 2), A, 'a');
    story.expect(&[('a', 2, "parked: waits for 01")]);
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.publish(), [1]);
}

#[test]
fn no_gate_and_no_fence_stands_before_what_a_lane_waits_for() {
    let mut story = Story::parking();
    for n in 5..=7 {
        story.submit(numbered(n), A, 'a');
    }
    story.reject_next();
    story.expect(&[
        ('a', 5, "rejected: "),
        ('a', 6, "parked: "),
        ('a', 7, "parked: "),
    ]);
    // Smaller numbers, and again and again: each raises a gate before 5.
    for _ in 0..3 {
        for n in [3, 6] {
            story.submit(numbered(n), A, 'a');
            story.expect(&[('a', n, "parked: waits for 05")]);
        }
    }
    story.submit(numbered(5), A, 'a');
    assert_eq!(story.publish(), [5]);
    story.expect(&[('a', 5, "ok")]);
}

#[test]
fn once_its_lane_is_open_what_was_parked_comes_before_what_is_new() {
    let mut story = Story::parking();
    for n in 1..=3 {
        story.submit(numbered(n), A, 'a');
    }
    story.reject_next();
    story.answers();
    for _ in 0..3 {
        story.submit(numbered(2), A, 'a');
    }
    story.answers();
    assert!(story.resume());
    assert!(!story.resume(), "it is open");
    story.submit(numbered(4), A, 'a');
    story.expect(&[('a', 4, "gap: ")]);
    for n in 2..=4 {
        story.submit(numbered(n), A, 'a');
    }
    assert_eq!(story.publish(), [2, 3, 4]);
}

#[test]
fn what_comes_while_nobody_knows_yet_that_another_was_parked_is_refused_with_it() {
    let unnumbered = |n| SideEffect {
        operation: Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        },
        ..message(n, n.into())
    };
    let mut story = Story::parked();
    story.submit(unnumbered(2), B, 'b');
    story.submit(message(1, 1), A, 'a');
    story.submit(unnumbered(3), B, 'b');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('b', 2, "parked: "), ('b', 3, "parked: "), ('a', 1, "ok")]);
}

#[test]
fn other_lanes_and_other_routes_do_not_care() {
    let mut story = Story::parked();
    let elsewhere = SideEffect {
        lane: LaneKey::new("t"),
        ..message(8, 8)
    };
    story.submit(elsewhere, A, 'a');
    let over = SideEffect {
        route: Some("eu".into()),
        ..message(9, 9)
    };
    story.submit(over, A, 'a');
    assert_eq!(story.publish(), [8, 9]);
}

#[test]
fn a_lane_is_told_to_be_parked_and_to_be_open_once_each() {
    let mut story = Story::parked();
    let told = story.admission.poll_change().expect("a change");
    let (by, error) = told.parked.expect("it is parked");
    assert_eq!((told.lane, by), (LaneKey::new("s"), id(1)));
    assert!(error.starts_with("rejected: "), "{error}");
    story.submit(message(1, 1), A, 'a');
    story.reject_next();
    story.answers();
    assert_eq!(story.admission.poll_change(), None, "it was parked before");
    story.submit(message(1, 1), A, 'a');
    story.publish();
    story.answers();
    let told = story.admission.poll_change().expect("a change");
    assert_eq!((told.lane, told.parked), (LaneKey::new("s"), None));
    assert_eq!(story.admission.poll_change(), None);
}

#[test]
fn nothing_overtakes_what_was_turned_away_when_the_lane_opens_before_that_was_told() {
    let mut story = Story::parked();
    story.submit(plain("s", 7), A, 'a');
    assert!(story.resume());
    story.submit(plain("s", 8), A, 'a');
    story.publish();
    let waits = "parked: waits for 01";
    story.expect(&[('a', 7, waits), ('a', 8, waits)]);
    story.submit(plain("s", 8), A, 'a');
    story.publish();
    story.expect(&[('a', 8, "ok")]);
}

#[test]
fn what_cannot_be_parked_because_too_many_are_goes_on_and_is_counted() {
    const LANES: u32 = 16_384;
    let mut story = Story::parking();
    for n in 0..LANES + 2 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_le_bytes());
        let effect = SideEffect {
            id: EffectId::from_bytes(id),
            key: IdempotencyKey::Uuid(Uuid::from_u128(n.into())),
            ..plain(&n.to_string(), 0)
        };
        story.submit(effect, A, 'a');
        story.reject_next();
        assert_eq!(story.answers().len(), 1);
    }
    assert_eq!(story.admission.parked_len(), LANES as usize);
    assert_eq!(story.admission.unparked(), 2);
    story.submit(plain(&LANES.to_string(), 1), A, 'a');
    story.publish();
    story.expect(&[('a', 1, "ok")]);
}

#[test]
fn what_its_lane_waits_for_opens_it_though_it_was_published_long_before() {
    let mut story = Story::parked();
    let done = story
        .admission
        .handle_published_late(&[id(1)], story.boot_time);
    assert_eq!(done, []);
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('a', 1, "ok")]);
    story.expect_open();
}

#[test]
fn what_waits_for_another_and_was_published_with_it_is_known_by_a_late_answer() {
    let mut story = Story::parking();
    story.lanes.handle_connected(crate::delivery::Peer {
        batches: true,
        window: 8,
    });
    for n in 1..=3 {
        story.submit(message(n, n.into()), A, 'a');
    }
    let silent = story.lanes.poll_request(story.now).expect("a batch");
    assert_eq!(silent.effects.len(), 3);
    let silent = silent.id;
    for _ in 0..12 {
        story.pass(Duration::from_millis(500));
    }
    // The batch, then the first alone.
    story.reject_next();
    story.reject_next();
    let waits = "parked: waits for 01010101-0101";
    story.expect(&[('a', 1, "ambiguous: "), ('a', 2, waits), ('a', 3, waits)]);
    story.lanes.handle_accepted(silent);
    let late = story.lanes.poll_published_late().expect("they are");
    let done = story
        .admission
        .handle_published_late(&late, story.boot_time);
    let done: Vec<_> = done.iter().map(|done| done.id.as_bytes()[0]).collect();
    assert_eq!(done, [2, 3]);
    assert!(story.resume());
    story.submit(message(2, 2), A, 'a');
    story.submit(message(3, 3), A, 'a');
    assert_eq!(story.publish(), [0; 0], "a copy");
}
