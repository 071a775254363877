mod both;
mod elsewhere;
mod fenced;
mod full;
mod late;
mod left;
mod model;
mod parked;

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::delivery::{Config, Done, Lanes, Peer, Submitted, fingerprint, known_by};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{IdempotencyKey, LaneKey};

const A: Producer = Producer(1);
const B: Producer = Producer(2);

fn id(n: u8) -> EffectId {
    EffectId::from_bytes([n; 16])
}

/// Message `number` of one session, in an attempt with this id.
fn message(n: u8, number: u32) -> SideEffect {
    SideEffect {
        id: id(n),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(Uuid::from_u128(u128::from(number))),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from(format!(r#"{{"sequence_number":{number}}}"#)).into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

/// Admission before lanes, and a transport that does what a test says.
struct Story {
    admission: Admission<char>,
    lanes: Lanes<Ticket>,
    now: Instant,
    boot_time: BootTime,
}

impl Story {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut lanes = Lanes::new(config);
        lanes.handle_connected(Peer {
            batches: false,
            window: 8,
        });
        Self {
            admission: Admission::new(),
            lanes,
            now: Instant::now(),
            boot_time: BootTime::default(),
        }
    }

    fn submit(&mut self, effect: SideEffect, producer: Producer, origin: char) {
        let Self {
            admission, lanes, ..
        } = self;
        if let Some(admitted) = admission.handle_submit(effect, producer, origin, self.boot_time) {
            lanes.handle_submit(Submitted::new(
                admitted.effect,
                admitted.place,
                admitted.ticket,
                self.now,
            ));
        }
    }

    /// Publishes what waits; returns its payloads' numbers.
    fn publish(&mut self) -> Vec<i64> {
        let mut published = Vec::new();
        while let Some(request) = self.lanes.poll_request(self.now) {
            let numbers = request.effects.iter();
            published.extend(numbers.filter_map(|e| e.operation.sequence_number()));
            let id = request.id;
            self.lanes.handle_accepted(id);
        }
        published
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.boot_time = self.boot_time.after(time);
        self.lanes.handle_timeout(self.now);
        self.admission.handle_timeout(self.boot_time);
    }

    /// Everything answered since last asked: to whom, which, and how.
    fn answers(&mut self) -> Vec<(char, u8, String)> {
        while let Some(settled) = self.lanes.poll_settled() {
            self.admission.handle_settled(settled, self.boot_time);
        }
        let answers = std::iter::from_fn(|| self.admission.poll_answer());
        let told = answers.map(|answer| {
            let text = answer.outcome.err().map_or("ok".into(), |f| f.to_string());
            (answer.origin, answer.id.as_bytes()[0], text)
        });
        let told = told.collect();
        self.admission.handle_told();
        told
    }

    fn expect(&mut self, expected: &[(char, u8, &str)]) {
        let answers = self.answers();
        assert_eq!(answers.len(), expected.len(), "{answers:?}");
        for ((origin, n, text), expected) in answers.iter().zip(expected) {
            assert_eq!((*origin, *n), (expected.0, expected.1));
            assert!(text.starts_with(expected.2), "{text}");
        }
    }
}

#[test]
fn two_submissions_of_one_effect_are_one_publish_and_two_answers() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    story.submit(message(1, 1), B, 'b');
    story.submit(message(2, 1), B, 'c');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('a', 1, "ok"), ('b', 1, "ok"), ('c', 2, "ok")]);
}

#[test]
fn what_was_published_is_answered_at_once_for_a_quarter_of_an_hour() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('a', 1, "ok")]);
    story.pass(Duration::from_secs(899));
    story.submit(message(1, 1), B, 'b');
    story.expect(&[('b', 1, "ok")]);
    story.pass(Duration::from_secs(1));
    story.submit(message(1, 1), B, 'b');
    assert_eq!(story.publish(), [1]);
}

#[test]
fn an_id_that_means_something_else_is_refused_and_harms_nothing() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    story.submit(message(1, 2), B, 'b');
    story.expect(&[('b', 1, "rejected: id_conflict")]);
    assert_eq!(story.publish(), [1]);
    story.expect(&[('a', 1, "ok")]);
}

#[test]
fn after_a_failure_larger_numbers_wait_until_it_comes_again() {
    let mut story = Story::new();
    story.lanes.handle_disconnected(story.now);
    story.submit(message(1, 1), A, 'a');
    story.submit(message(2, 2), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled: "), ('a', 2, "throttled: ")]);

    story.lanes.handle_connected(Peer {
        batches: false,
        window: 8,
    });
    story.submit(message(3, 3), A, 'a');
    story.expect(&[('a', 3, "gap: expected 1")]);
    story.submit(message(4, 1), A, 'a');
    story.submit(message(5, 3), A, 'a');
    story.expect(&[('a', 5, "gap: expected 2")]);
    story.submit(message(6, 2), A, 'a');
    story.submit(message(7, 3), A, 'a');
    assert_eq!(story.publish(), [1, 2, 3]);
    story.expect(&[('a', 4, "ok"), ('a', 6, "ok"), ('a', 7, "ok")]);
}

#[test]
fn a_daemon_that_comes_back_is_not_held_by_what_its_last_connection_was_told() {
    let mut story = Story::new();
    story.lanes.handle_disconnected(story.now);
    story.submit(message(1, 1), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled: ")]);
    story.admission.handle_closed(A);
    story.submit(message(2, 2), B, 'b');
    assert_eq!(story.answers(), []);
}

#[test]
fn what_failed_for_good_shuts_no_gate() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    let request = story.lanes.poll_request(story.now).expect("a request").id;
    let refusal = crate::delivery::Refusal {
        error: "no",
        code: None,
        retryable: Some(false),
    };
    story.lanes.handle_refused(request, &refusal, story.now);
    story.expect(&[('a', 1, "rejected: ")]);
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.publish(), [2]);
}

#[test]
fn what_a_journal_restored_is_answered_at_once() {
    let mut story = Story::new();
    let known = message(1, 1);
    let done = done(&known);
    story
        .admission
        .handle_done_elsewhere(&done, story.boot_time);
    story.submit(message(2, 1), A, 'a');
    story.expect(&[('a', 2, "ok")]);
}

fn done(effect: &SideEffect) -> Done {
    Done {
        id: effect.id,
        known_by: known_by(effect),
        fingerprint: fingerprint(effect),
    }
}

#[test]
fn what_is_kept_is_acked_and_left_to_its_keeper_until_it_is_published() {
    let mut story = Story::new();
    let now = story.boot_time;
    let admit = |story: &mut Story, n| story.admission.handle_submit(message(n, 1), A, 'a', now);
    let kept = admit(&mut story, 1).expect("it is new");
    assert!(admit(&mut story, 2).is_none(), "it is joined");
    story.admission.handle_kept(kept.ticket);
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok")]);
    let again = admit(&mut story, 3).expect("its keeper knows");
    story.admission.handle_kept(again.ticket);
    story.expect(&[('a', 3, "ok")]);
    let published = now.after(Duration::from_secs(20 * 60));
    let done = done(&message(1, 1));
    story.admission.handle_done_elsewhere(&done, published);
    story.boot_time = published.after(Duration::from_secs(14 * 60));
    story.submit(message(4, 1), A, 'a');
    story.expect(&[('a', 4, "ok")]);
}

#[test]
fn what_has_the_id_of_something_kept_is_a_conflict_and_leaves_no_trace() {
    let mut story = Story::new();
    let now = story.boot_time;
    let admitted = story.admission.handle_submit(message(1, 2), A, 'a', now);
    let ticket = admitted.expect("only its keeper knows").ticket;
    story.admission.handle_conflict(ticket);
    story.expect(&[('a', 1, "rejected: id_conflict")]);
    let right = story.admission.handle_submit(message(1, 1), A, 'a', now);
    assert!(right.is_some(), "its keeper is asked");
}

#[test]
fn what_asked_for_order_is_refused_until_what_failed_before_it_came_again() {
    let unnumbered = |n, is_ordered| SideEffect {
        operation: Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        },
        is_ordered,
        ..message(n, n.into())
    };
    let mut story = Story::new();
    story.submit(unnumbered(1, true), A, 'a');
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled")]);
    story.submit(unnumbered(2, true), A, 'a');
    story.submit(unnumbered(3, false), A, 'a');
    story.expect(&[('a', 2, "gap: resend 01010101-")]);
    story.submit(unnumbered(1, true), A, 'a');
    story.submit(unnumbered(2, true), A, 'a');
    story.publish();
    // In the order in which they came first.
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok"), ('a', 3, "ok")]);
}

/// With a number and the flag.
fn numbered(n: u8) -> SideEffect {
    SideEffect {
        is_ordered: true,
        ..message(n, n.into())
    }
}

fn ordered(n: u8) -> SideEffect {
    SideEffect {
        is_ordered: true,
        operation: Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        },
        ..message(n, n.into())
    }
}

#[test]
fn what_is_turned_away_twice_stays_before_those_that_wait_for_it() {
    let mut story = Story::new();
    let now = story.boot_time;
    for _ in 0..2 {
        let admitted = story.admission.handle_submit(ordered(1), A, 'a', now);
        let admitted = admitted.expect("nothing is before it");
        let failure = Failure::new(Class::LaneFull, "not now");
        story.admission.handle_refused(admitted, failure, now);
        story.admission.handle_told();
        let behind = story.admission.handle_submit(ordered(2), A, 'a', now);
        assert!(behind.is_none(), "it overtakes");
    }
}

#[test]
fn what_is_turned_away_keeps_the_place_of_its_earlier_failure() {
    let mut story = Story::new();
    let now = story.boot_time;
    let admit = |story: &mut Story, n| story.admission.handle_submit(ordered(n), A, 'a', now);
    let refuse = |story: &mut Story, admitted, class| {
        let failure = Failure::new(class, "not now");
        story.admission.handle_refused(admitted, failure, now);
        story.admission.handle_told();
    };
    let both = [1, 2].map(|n| admit(&mut story, n).expect("it is new"));
    for admitted in both {
        refuse(&mut story, admitted, Class::Throttled);
    }
    let first = admit(&mut story, 1).expect("nothing is before it");
    refuse(&mut story, first, Class::LaneFull);
    assert!(
        admit(&mut story, 2).is_none(),
        "the first has to come again"
    );
    let again = [1, 2].map(|n| admit(&mut story, n).expect("it may pass"));
    let [first, second] = again.map(|admitted| admitted.place.arrival);
    assert!(first < second, "{first} {second}");
}

/// An effect of a lane that no gate knows.
pub(super) fn plain(lane: &str, n: u8) -> SideEffect {
    SideEffect {
        lane: LaneKey::new(lane),
        operation: Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        },
        ..message(n, n.into())
    }
}

#[test]
fn nothing_overtakes_what_found_no_room_before_its_daemon_was_told() {
    let mut story = Story::new();
    let now = story.boot_time;
    let first = story.admission.handle_submit(plain("s", 1), A, 'a', now);
    let failure = Failure::new(Class::Unrecorded, "the disk is full");
    let first = first.expect("let through");
    story.admission.handle_refused(first, failure, now);
    story.submit(plain("s", 2), A, 'a');
    story.submit(plain("s", 3), B, 'b');
    story.submit(plain("other", 4), A, 'a');
    assert_eq!(story.publish().len(), 0, "object sets have no number");
    let full = "unrecorded: the disk is full";
    story.expect(&[
        ('a', 1, full),
        ('a', 2, full),
        ('b', 3, full),
        ('a', 4, "ok"),
    ]);

    story.submit(plain("s", 5), A, 'a');
    story.publish();
    story.expect(&[('a', 5, "ok")]);
}

#[test]
fn what_is_refused_for_good_holds_nothing_up() {
    let mut story = Story::new();
    let now = story.boot_time;
    let first = story.admission.handle_submit(plain("s", 1), A, 'a', now);
    let failure = Failure::new(Class::Rejected, "no");
    let first = first.expect("let through");
    story.admission.handle_refused(first, failure, now);
    story.submit(plain("s", 2), A, 'a');
    story.publish();
    story.expect(&[('a', 1, "rejected: no"), ('a', 2, "ok")]);
}
