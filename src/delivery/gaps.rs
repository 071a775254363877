//! The gap gate: after a failure, nothing is let past what failed.
//!
//! A daemon that moves a cursor over its messages would skip the one that
//! failed for good, if Falco published the next: it is never sent again. So
//! while a message with a `sequence_number` has failed and may come again,
//! those with a larger number fail too, with `gap: expected <number>`.
//!
//! A gate belongs to the connection that was told of the failure, and to one
//! channel of one lane, because that is what a daemon counts by. It holds the
//! numbers that failed, those that it refused included, and opens once they
//! came again, smallest first. It is gone when the connection closes, since a
//! daemon that comes back begins with what is not acked; or 30 s after the last
//! failure, whatever it refused meanwhile, since then the message is not coming.
//!
//! Failures that are final, `rejected` and `too_large`, shut nothing. Messages
//! without a number pass.
//!
//! Holds 65 536 numbers at most; beyond, new failures shut no more gates.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::Producer;
use crate::clock::BootTime;
use crate::protocol::envelope::Operation;
use crate::protocol::id::LaneKey;

/// How long a message that failed is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often gates that are over are looked for, when there is no room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Numbers held over all gates.
const NUMBERS_MAX: usize = 65_536;

/// Whose messages, and where they go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream<'a> {
    pub lane: &'a LaneKey,
    pub route: Option<&'a str>,
    pub producer: Producer,
}

#[derive(Debug)]
struct Gate {
    producer: Producer,
    route: Option<Box<str>>,
    channel: Box<str>,
    until: BootTime,
    /// Never empty.
    failed: BTreeSet<i64>,
}

impl Gate {
    fn is_for(&self, stream: &Stream<'_>, operation: &Operation) -> bool {
        self.producer == stream.producer
            && *self.channel == *operation.channel()
            && self.route.as_deref() == stream.route
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gates: HashMap<LaneKey, Vec<Gate>>,
    numbers: usize,
    swept_at: BootTime,
}

impl Gaps {
    /// A message arrives; the number that has to come first, if it may not
    /// pass.
    pub(super) fn arrive(
        &mut self,
        stream: &Stream<'_>,
        operation: &Operation,
        now: BootTime,
    ) -> Option<i64> {
        let is_full = self.numbers >= NUMBERS_MAX;
        let gate = self.gate(stream, operation, now)?;
        let number = operation.sequence_number()?;
        let expected = *gate.failed.first()?;
        if number > expected {
            if !is_full && gate.failed.insert(number) {
                self.numbers += 1;
            }
            return Some(expected);
        }
        if gate.failed.remove(&number) {
            self.numbers -= 1;
            self.drop_gates(stream.lane, |gate| gate.failed.is_empty());
        }
        None
    }

    /// A message comes whatever the gate says, and is expected no more.
    pub(super) fn pass(&mut self, stream: &Stream<'_>, operation: &Operation, now: BootTime) {
        // To read a number costs more than to see that nobody asks for it.
        if !self.gates.contains_key(stream.lane) {
            return;
        }
        let Some(number) = operation.sequence_number() else {
            return;
        };
        let gate = self.gate(stream, operation, now);
        if gate.is_some_and(|gate| gate.failed.remove(&number)) {
            self.numbers -= 1;
            self.drop_gates(stream.lane, |gate| gate.failed.is_empty());
        }
    }

    /// A message failed and may come again.
    pub(super) fn fail(&mut self, stream: &Stream<'_>, operation: &Operation, now: BootTime) {
        let Some(number) = operation.sequence_number() else {
            return;
        };
        self.make_room(now);
        let until = now.after(PATIENCE);
        let is_full = self.numbers >= NUMBERS_MAX;
        if let Some(gate) = self.gate(stream, operation, now) {
            gate.until = until;
            if !is_full && gate.failed.insert(number) {
                self.numbers += 1;
            }
        } else if !is_full {
            let channel = operation.channel().into();
            let failed = BTreeSet::from([number]);
            let gate = Gate {
                producer: stream.producer,
                route: stream.route.map(Into::into),
                channel,
                until,
                failed,
            };
            let gates = self.gates.entry(stream.lane.clone());
            gates.or_default().push(gate);
            self.numbers += 1;
        }
    }

    /// A connection is closed; its daemon will begin anew.
    pub(super) fn close(&mut self, producer: Producer) {
        self.retain(|gate| gate.producer != producer);
    }

    /// The gate in the way of a message, if it still stands.
    fn gate(
        &mut self,
        stream: &Stream<'_>,
        operation: &Operation,
        now: BootTime,
    ) -> Option<&mut Gate> {
        if !self.gates.contains_key(stream.lane) {
            return None;
        }
        self.drop_gates(stream.lane, |gate| gate.until <= now);
        let gates = self.gates.get_mut(stream.lane)?.iter_mut();
        gates
            .into_iter()
            .find(|gate| gate.is_for(stream, operation))
    }

    fn drop_gates(&mut self, lane: &LaneKey, is_over: impl Fn(&Gate) -> bool) {
        let Some(gates) = self.gates.get_mut(lane) else {
            return;
        };
        let numbers = &mut self.numbers;
        gates.retain(|gate| keep(gate, !is_over(gate), numbers));
        if gates.is_empty() {
            self.gates.remove(lane);
        }
    }

    fn make_room(&mut self, now: BootTime) {
        if self.numbers >= NUMBERS_MAX && now.since(self.swept_at) >= SWEEP_EVERY {
            self.swept_at = now;
            self.retain(|gate| now < gate.until);
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&Gate) -> bool) {
        let numbers = &mut self.numbers;
        self.gates.retain(|_, gates| {
            gates.retain(|gate| keep(gate, is_kept(gate), numbers));
            !gates.is_empty()
        });
    }
}

/// Whether a gate is kept; the numbers of one that is not are given back.
fn keep(gate: &Gate, is_kept: bool, numbers: &mut usize) -> bool {
    if !is_kept {
        *numbers -= gate.failed.len();
    }
    is_kept
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const P: Producer = Producer(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn message(number: i64) -> Operation {
        on("c", &format!(r#"{{"sequence_number":{number}}}"#))
    }

    fn on(channel: &str, payload: &str) -> Operation {
        Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload: Bytes::copy_from_slice(payload.as_bytes()).into(),
        }
    }

    fn stream(lane: &LaneKey, producer: Producer) -> Stream<'_> {
        Stream {
            lane,
            route: None,
            producer,
        }
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
            self.gaps.fail(&stream, &message(number), self.now);
        }

        fn arrive(&mut self, number: i64) -> Option<i64> {
            self.arrive_from(P, &message(number))
        }

        fn arrive_from(&mut self, producer: Producer, operation: &Operation) -> Option<i64> {
            let lane = LaneKey::new("s");
            let stream = stream(&lane, producer);
            self.gaps.arrive(&stream, operation, self.now)
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
    fn other_channels_other_lanes_and_what_has_no_number_pass() {
        let mut story = Story::with_failed(&[5]);
        let numbered = r#"{"sequence_number":9}"#;
        assert_eq!(story.arrive_from(P, &on("d", numbered)), None);
        assert_eq!(story.arrive_from(P, &on("c", "{}")), None);
        let lane = LaneKey::new("other");
        let now = story.now;
        let elsewhere = stream(&lane, P);
        assert_eq!(story.gaps.arrive(&elsewhere, &message(9), now), None);
        let lane = LaneKey::new("s");
        let elsewhere = Stream {
            route: Some("other"),
            ..stream(&lane, P)
        };
        assert_eq!(story.gaps.arrive(&elsewhere, &message(9), now), None);
        assert_eq!(story.arrive_from(P, &on("c", numbered)), Some(5));
    }

    #[test]
    fn no_more_numbers_are_held_than_the_bound() {
        let mut story = Story::with_failed(&[]);
        for n in 0..70_000_i64 {
            let lane = LaneKey::new(n.to_string());
            let stream = stream(&lane, P);
            story.gaps.fail(&stream, &message(1), story.now);
        }
        assert_eq!(story.gaps.numbers, NUMBERS_MAX);
        story.pass(30 * SECOND);
        story.fail(1);
        assert_eq!(story.gaps.numbers, 1);
    }
}
