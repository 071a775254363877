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
//! Of two messages that asked for order, their [fence](super::fences) tells which
//! goes first, and the gate leaves it to that: numbers that stand there, too, shut
//! it only to messages that did not ask. Each number keeps the place in its lane
//! that its message had, also of what was never tried: what stands behind it in a
//! fence keeps its own, and would leave its lane before it.
//!
//! Holds 65 536 numbers at most; beyond, new failures shut no more gates, and are
//! counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::Producer;
use super::dedupe::known_by;
use super::fences::Head;
use crate::clock::BootTime;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, LaneKey};

/// How long what failed is waited for; longer than the longest pause of our own
/// client.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

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

/// What an effect has to wait for, and for how long at most.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait<T> {
    pub first: T,
    pub until: BootTime,
}

/// An effect that failed for now, or was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed<'a> {
    pub id: EffectId,
    /// What makes a copy of it recognisable.
    pub known_by: Uuid,
    pub operation: &'a Operation,
    pub is_ordered: bool,
    /// Its place, if it has none where it waits.
    pub arrival: u64,
}

impl<'a> Failed<'a> {
    pub(super) fn new(effect: &'a SideEffect, arrival: u64) -> Self {
        Self {
            id: effect.id,
            known_by: known_by(effect),
            operation: &effect.operation,
            is_ordered: effect.is_ordered,
            arrival,
        }
    }
}

/// Where a message stands that has to come again.
#[derive(Debug, Clone, Copy)]
struct Spot {
    arrival: u64,
    known_by: Uuid,
    /// By which it failed last.
    id: EffectId,
}

#[derive(Debug)]
struct Gate {
    route: Option<Box<str>>,
    channel: Box<str>,
    until: BootTime,
    /// What failed and stands in no fence.
    failed: BTreeMap<i64, Spot>,
    /// What failed and stands in a fence, which sees to what stands there, too.
    fenced: BTreeMap<i64, Spot>,
    /// Where one of them went out, behind the place it had: what has an earlier one
    /// would leave its lane before it.
    floor: u64,
}

impl Gate {
    fn is_for(&self, stream: &Stream<'_>, operation: &Operation) -> bool {
        *self.channel == *operation.channel() && self.route.as_deref() == stream.route
    }

    /// The number that has to come first, for what a fence sees to or does not.
    fn expected(&self, is_ordered: bool) -> Option<i64> {
        let failed = self.failed.keys().next();
        let fenced = self.fenced.keys().next().filter(|_| !is_ordered);
        failed.into_iter().chain(fenced).min().copied()
    }

    fn spot(&self, number: i64) -> Option<Spot> {
        let spot = self.failed.get(&number);
        spot.or_else(|| self.fenced.get(&number)).copied()
    }

    /// Where this one stood, if it has that number.
    fn place(&self, number: i64, effect: &SideEffect) -> Option<u64> {
        let spot = self.spot(number);
        let spot = spot.filter(|spot| spot.known_by == known_by(effect));
        spot.map(|spot| spot.arrival)
    }

    /// Whether this one lets all pass that wait for each other. The `head` of the
    /// fence does so for the lowest number that stands in none, if that is lower than
    /// its own; that for a lower one that stands in the fence, which is behind the
    /// head there. Of the first two the one that came first goes.
    fn unties(&self, number: i64, effect: &SideEffect, head: Head) -> bool {
        let Some((&lowest, spot)) = self.failed.first_key_value() else {
            return false;
        };
        if self.fenced.range(..lowest).next().is_none() {
            return false;
        }
        if effect.id == head.id {
            return effect.is_ordered && lowest < number && head.place <= spot.arrival;
        }
        let is_lowest = number == lowest && spot.known_by == known_by(effect);
        let mut above = self.fenced.range(lowest..);
        is_lowest && spot.arrival < head.place && above.any(|(_, spot)| spot.id == head.id)
    }

    fn len(&self) -> usize {
        self.failed.len() + self.fenced.len()
    }

    /// Where it stood it stays.
    fn insert(&mut self, number: i64, failed: &Failed<'_>, is_fenced: bool) {
        let before = self.remove(number);
        let (arrival, known_by) = before.map_or((failed.arrival, failed.known_by), |before| {
            (before.arrival, before.known_by)
        });
        let spot = Spot {
            arrival,
            known_by,
            id: failed.id,
        };
        let numbers = if is_fenced {
            &mut self.fenced
        } else {
            &mut self.failed
        };
        numbers.insert(number, spot);
    }

    fn remove(&mut self, number: i64) -> Option<Spot> {
        let spot = self.failed.remove(&number);
        spot.or_else(|| self.fenced.remove(&number))
    }

    fn is_over(&self) -> bool {
        self.len() == 0
    }
}

/// The gates of one connection.
type Gates = HashMap<LaneKey, Vec<Gate>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gates: HashMap<Producer, Gates>,
    numbers: usize,
    swept_at: BootTime,
    /// How often there was no room for one more.
    refused: u64,
}

impl Gaps {
    /// A message arrives: the number that has to come first, if it may not pass,
    /// and the place it has itself, if it has to come again. If it may pass, it
    /// still has to be let [pass](Self::pass).
    pub(super) fn arrive(
        &mut self,
        stream: &Stream<'_>,
        effect: &SideEffect,
        now: BootTime,
    ) -> (Option<Wait<i64>>, Option<u64>) {
        let operation = &effect.operation;
        let Some(gate) = self.gate(stream, operation, now) else {
            return (None, None);
        };
        let Some(number) = operation.sequence_number() else {
            return (None, None);
        };
        let first = gate.expected(effect.is_ordered);
        let first = first.filter(|first| *first < number);
        let until = gate.until;
        let wait = first.map(|first| Wait { first, until });
        (wait, gate.place(number, effect))
    }

    /// Whether a message that may not pass has to, because all that stands here would
    /// wait for each other else; `head` is the first of its fence.
    pub(super) fn unties(
        &mut self,
        stream: &Stream<'_>,
        effect: &SideEffect,
        head: Head,
        now: BootTime,
    ) -> bool {
        let operation = &effect.operation;
        let gate = self.gate(stream, operation, now);
        let number = operation.sequence_number();
        let both = gate.zip(number).filter(|_| now < head.until);
        both.is_some_and(|(gate, number)| gate.unties(number, effect, head))
    }

    /// The place before which none that stands here may go out any more.
    pub(super) fn floor(
        &mut self,
        stream: &Stream<'_>,
        operation: &Operation,
        now: BootTime,
    ) -> u64 {
        let gate = self.gate(stream, operation, now);
        gate.map_or(0, |gate| gate.floor)
    }

    /// A message comes that nothing stops, and is expected no more; it goes out `at`
    /// that place, if it does.
    pub(super) fn pass(
        &mut self,
        stream: &Stream<'_>,
        operation: &Operation,
        at: Option<u64>,
        now: BootTime,
    ) {
        // To read a number costs more than to see that nobody asks for it.
        let Some(gate) = self.gate(stream, operation, now) else {
            return;
        };
        let Some(number) = operation.sequence_number() else {
            return;
        };
        if let Some(spot) = gate.remove(number) {
            let lost = at.filter(|at| spot.arrival < *at);
            gate.floor = gate.floor.max(lost.unwrap_or(0));
            self.numbers -= 1;
            self.drop_gates(stream, Gate::is_over);
        }
    }

    /// A message failed and may come again, until then at most; `is_fenced` says
    /// whether it stands in a fence.
    pub(super) fn fail(
        &mut self,
        stream: &Stream<'_>,
        failed: &Failed<'_>,
        is_fenced: bool,
        until: BootTime,
        now: BootTime,
    ) {
        let operation = failed.operation;
        let Some(number) = operation.sequence_number() else {
            return;
        };
        self.make_room(now);
        let is_full = self.numbers >= NUMBERS_MAX;
        let gate = match self.gate(stream, operation, now) {
            Some(gate) => gate,
            None if is_full => {
                self.refused += 1;
                return;
            }
            None => self.raise(stream, operation, until),
        };
        gate.until = gate.until.max(until);
        let is_new = gate.spot(number).is_none();
        if is_full && is_new {
            self.refused += 1;
            return;
        }
        gate.insert(number, failed, is_fenced);
        self.numbers += usize::from(is_new);
    }

    fn raise(&mut self, stream: &Stream<'_>, operation: &Operation, until: BootTime) -> &mut Gate {
        let gates = self.gates.entry(stream.producer).or_default();
        let gates = gates.entry(stream.lane.clone()).or_default();
        gates.push(Gate {
            route: stream.route.map(Into::into),
            channel: operation.channel().into(),
            until,
            failed: BTreeMap::new(),
            fenced: BTreeMap::new(),
            floor: 0,
        });
        gates.last_mut().expect("it was put there")
    }

    /// How often a number was not held, because no more are.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// A connection is closed; its daemon will begin anew.
    pub(super) fn close(&mut self, producer: Producer) {
        let gates = self.gates.remove(&producer).unwrap_or_default();
        let numbers = gates.values().flatten().map(Gate::len);
        self.numbers -= numbers.sum::<usize>();
    }

    /// The gate in the way of a message, if it still stands.
    fn gate(
        &mut self,
        stream: &Stream<'_>,
        operation: &Operation,
        now: BootTime,
    ) -> Option<&mut Gate> {
        if !self.gates.get(&stream.producer)?.contains_key(stream.lane) {
            return None;
        }
        self.drop_gates(stream, |gate| gate.until <= now);
        let gates = self.gates.get_mut(&stream.producer)?;
        let mut gates = gates.get_mut(stream.lane)?.iter_mut();
        gates.find(|gate| gate.is_for(stream, operation))
    }

    fn drop_gates(&mut self, stream: &Stream<'_>, is_over: impl Fn(&Gate) -> bool) {
        let Some(its) = self.gates.get_mut(&stream.producer) else {
            return;
        };
        let Some(gates) = its.get_mut(stream.lane) else {
            return;
        };
        let numbers = &mut self.numbers;
        gates.retain(|gate| keep(gate, !is_over(gate), numbers));
        if gates.is_empty() {
            its.remove(stream.lane);
        }
        if its.is_empty() {
            self.gates.remove(&stream.producer);
        }
    }

    fn make_room(&mut self, now: BootTime) {
        if self.numbers < NUMBERS_MAX || now.since(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        let numbers = &mut self.numbers;
        self.gates.retain(|_, its| {
            its.retain(|_, gates| {
                gates.retain(|gate| keep(gate, now < gate.until, numbers));
                !gates.is_empty()
            });
            !its.is_empty()
        });
    }
}

/// Whether a gate is kept; the numbers of one that is not are given back.
fn keep(gate: &Gate, is_kept: bool, numbers: &mut usize) -> bool {
    if !is_kept {
        *numbers -= gate.len();
    }
    is_kept
}

#[cfg(test)]
mod tests;
