use bytes::Bytes;

use super::*;
use crate::protocol::id::IdempotencyKey;

const P: Producer = Producer(1);
const SECOND: Duration = Duration::from_secs(1);

fn message(number: i64) -> SideEffect {
    on("c", &format!(r#"{{"sequence_number":{number}}}"#))
}

fn on(channel: &str, payload: &str) -> SideEffect {
    let key = Uuid::from_u128(crc32c::crc32c(payload.as_bytes()).into());
    SideEffect {
        id: EffectId::from(key),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(key),
        operation: Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload: Bytes::copy_from_slice(payload.as_bytes()).into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

fn stream(lane: &LaneKey, producer: Producer) -> Stream<'_> {
    Stream {
        lane,
        route: None,
        producer,
    }
}

/// It passes, or is refused and has to come again, too.
fn arrive(gaps: &mut Gaps, stream: &Stream<'_>, effect: &SideEffect, now: BootTime) -> Option<i64> {
    let (wait, _) = gaps.arrive(stream, effect, now);
    let Some(Wait { first, until }) = wait else {
        gaps.pass(stream, &effect.operation, None, now);
        return None;
    };
    gaps.fail(stream, &Failed::new(effect, 1), false, until, now);
    Some(first)
}

fn fail(gaps: &mut Gaps, stream: &Stream<'_>, effect: &SideEffect, now: BootTime) {
    let failed = Failed::new(effect, 1);
    gaps.fail(stream, &failed, false, now.after(PATIENCE), now);
}

struct Story {
    gaps: Gaps,
    now: BootTime,
}

impl Story {
    fn with_failed(numbers: &[i64]) -> Self {
        let gaps = Gaps::default();
        let now = BootTime::default();
        let mut story = Self { gaps, now };
        for number in numbers {
            story.fail(*number);
        }
        story
    }

    fn fail(&mut self, number: i64) {
        let lane = LaneKey::new("s");
        let stream = stream(&lane, P);
        fail(&mut self.gaps, &stream, &message(number), self.now);
    }

    fn arrive(&mut self, number: i64) -> Option<i64> {
        self.arrive_from(P, &message(number))
    }

    fn arrive_from(&mut self, producer: Producer, effect: &SideEffect) -> Option<i64> {
        let lane = LaneKey::new("s");
        let stream = stream(&lane, producer);
        arrive(&mut self.gaps, &stream, effect, self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    fn expect_nothing_held(&self) {
        assert!(self.gaps.gates.is_empty());
        assert_eq!(self.gaps.numbers, 0);
    }
}

#[test]
fn what_follows_a_failed_message_waits_until_it_came_again() {
    let mut story = Story::with_failed(&[5]);
    assert_eq!(story.arrive(6), Some(5));
    assert_eq!(story.arrive(4), None);
    assert_eq!(story.arrive(5), None);
    assert_eq!(story.arrive(7), Some(6), "6 failed because of 5");
    for number in [6, 7, 8] {
        assert_eq!(story.arrive(number), None);
    }
    story.expect_nothing_held();
}

#[test]
fn a_message_that_fails_again_is_expected_again() {
    let mut story = Story::with_failed(&[5]);
    assert_eq!(story.arrive(5), None);
    story.fail(5);
    assert_eq!(story.arrive(6), Some(5));
}

#[test]
fn a_gate_opens_after_thirty_seconds_however_much_it_refused() {
    let mut story = Story::with_failed(&[5]);
    for number in 6..35 {
        story.pass(SECOND);
        assert_eq!(story.arrive(number), Some(5));
    }
    story.pass(SECOND);
    assert_eq!(story.arrive(35), None);
    story.expect_nothing_held();
}

#[test]
fn a_gate_is_gone_with_its_connection_and_stops_no_other() {
    let mut story = Story::with_failed(&[5]);
    assert_eq!(story.arrive_from(Producer(2), &message(6)), None);
    assert_eq!(story.arrive(6), Some(5));
    story.gaps.close(P);
    assert_eq!(story.arrive(7), None);
    story.expect_nothing_held();
}

#[test]
fn a_connection_that_closes_takes_all_its_gates_and_no_other() {
    let mut story = Story::with_failed(&[]);
    for producer in 1..=3 {
        for lane in ["a", "b"] {
            let lane = LaneKey::new(lane);
            let stream = stream(&lane, Producer(producer));
            fail(&mut story.gaps, &stream, &message(5), story.now);
            fail(&mut story.gaps, &stream, &message(6), story.now);
        }
    }
    for (producer, left) in [(2, 8), (1, 4), (1, 4), (3, 0)] {
        story.gaps.close(Producer(producer));
        assert_eq!(story.gaps.numbers, left);
    }
    story.expect_nothing_held();
}

#[test]
fn other_channels_other_lanes_and_what_has_no_number_pass() {
    let mut story = Story::with_failed(&[5]);
    let numbered = r#"{"sequence_number":9}"#;
    assert_eq!(story.arrive_from(P, &on("d", numbered)), None);
    assert_eq!(story.arrive_from(P, &on("c", "{}")), None);
    let lane = LaneKey::new("other");
    let now = story.now;
    let elsewhere = stream(&lane, P);
    assert_eq!(arrive(&mut story.gaps, &elsewhere, &message(9), now), None);
    let lane = LaneKey::new("s");
    let elsewhere = Stream {
        route: Some("other"),
        ..stream(&lane, P)
    };
    assert_eq!(arrive(&mut story.gaps, &elsewhere, &message(9), now), None);
    assert_eq!(story.arrive_from(P, &on("c", numbered)), Some(5));
}

#[test]
fn no_more_numbers_are_held_than_the_bound() {
    let mut story = Story::with_failed(&[]);
    for n in 0..70_000_i64 {
        let lane = LaneKey::new(n.to_string());
        let stream = stream(&lane, P);
        fail(&mut story.gaps, &stream, &message(1), story.now);
    }
    assert_eq!(story.gaps.numbers, NUMBERS_MAX);
    assert_eq!(story.gaps.refused(), 70_000 - NUMBERS_MAX as u64);
    story.pass(30 * SECOND);
    story.fail(1);
    assert_eq!(story.gaps.numbers, 1);
}
