//! An effect on its way through a lane, and what it is when it has its outcome.

use std::time::Instant;

use super::failure::Failure;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// What of a side effect the transport is told.
#[derive(Debug)]
pub(crate) struct Effect {
    /// The daemon's name for it.
    pub id: EffectId,
    /// What makes copies of it recognisable.
    pub key: IdempotencyKey,
    /// What to do.
    pub operation: Operation,
    /// The memory it holds.
    pub bytes: usize,
}

/// A daemon's connection; lanes and gates know it by no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Producer(pub u64);

/// Where an effect stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counts arrivals. One that failed and comes again has the number it had.
    pub arrival: u64,
    /// Where it stands over its connection, should it have to come again, wherever its
    /// lane puts it; where that is its number, if nothing else is known.
    pub stands: Option<u64>,
    /// Whose it is.
    pub producer: Producer,
}

impl Place {
    /// That of one whose number is all that is known.
    pub(crate) fn new(arrival: u64, producer: Producer) -> Self {
        Self {
            arrival,
            stands: None,
            producer,
        }
    }

    /// Where it stands, should it have to come again.
    pub(super) fn stands_at(self) -> u64 {
        self.stands.unwrap_or(self.arrival)
    }

    /// Whether its daemon wants it to come after this one, whatever their numbers say.
    pub(super) fn is_behind(self, other: Self) -> bool {
        let both = self.stands.zip(other.stands);
        self.producer == other.producer && both.is_some_and(|(own, other)| other < own)
    }
}

/// An effect on its way to its lane.
#[derive(Debug)]
pub(crate) struct Submitted<T> {
    pub effect: SideEffect,
    pub place: Place,
    /// What whoever submitted it needs back with its outcome.
    pub origin: T,
    /// Since when it is waited for; what holds it up on the way is counted.
    pub arrived: Instant,
}

impl<T> Submitted<T> {
    pub(crate) fn new(effect: SideEffect, place: Place, origin: T, arrived: Instant) -> Self {
        Self {
            effect,
            place,
            origin,
            arrived,
        }
    }
}

/// What became of an effect.
pub(crate) type Outcome = Result<(), Failure>;

/// An effect that has its outcome.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    /// What was submitted with it.
    pub origin: T,
    /// Whose fate it is.
    pub id: EffectId,
    /// The fate.
    pub outcome: Outcome,
    /// Where it was.
    pub lane: LaneKey,
    /// Over which transport, if not over the chain's own.
    pub route: Option<Box<str>>,
    /// Its place there.
    pub place: Place,
    /// What it was to do.
    pub operation: Operation,
    /// Attempts that failed and counted.
    pub attempts: u32,
    /// Whether its lane waits from now on for what becomes of it.
    pub parks: bool,
    /// Whether it failed, and may be published all the same.
    pub is_doubtful: bool,
}

impl<T> Settled<T> {
    /// The same, of another origin.
    pub(crate) fn of<U>(self, origin: U) -> Settled<U> {
        Settled {
            origin,
            id: self.id,
            outcome: self.outcome,
            lane: self.lane,
            route: self.route,
            place: self.place,
            operation: self.operation,
            attempts: self.attempts,
            parks: self.parks,
            is_doubtful: self.is_doubtful,
        }
    }
}

/// Tells batches that are made up again from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchNumber(pub u64);

/// An effect in a lane.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub effect: Effect,
    pub lane: LaneKey,
    pub route: Option<Box<str>>,
    pub place: Place,
    pub origin: T,
    pub arrived: Instant,
    /// The batch it was part of before, and has to be part of again.
    pub batch: Option<BatchNumber>,
    /// An attempt was made, and nobody can say whether it was published.
    pub is_doubtful: bool,
}

impl<T> Entry<T> {
    pub(super) fn new(submitted: Submitted<T>, batch: Option<BatchNumber>) -> Self {
        let Submitted {
            effect,
            place,
            origin,
            arrived,
        } = submitted;
        Self {
            effect: Effect {
                id: effect.id,
                key: effect.key,
                operation: effect.operation,
                bytes: effect.bytes,
            },
            lane: effect.lane,
            route: effect.route,
            place,
            origin,
            arrived,
            batch,
            is_doubtful: false,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.effect.bytes
    }

    /// What it adds to a batch.
    pub(super) fn message_bytes(&self) -> usize {
        let operation = &self.effect.operation;
        operation.body().len() + operation.name().len() + self.effect.key.len()
    }

    /// The effect as it was brought here.
    pub(super) fn into_side_effect(self) -> SideEffect {
        SideEffect {
            id: self.effect.id,
            lane: self.lane,
            route: self.route,
            key: self.effect.key,
            operation: self.effect.operation,
            bytes: self.effect.bytes,
            is_ordered: false,
        }
    }

    pub(super) fn settle(self, outcome: Outcome) -> Settled<T> {
        self.settle_after(0, outcome)
    }

    /// Nothing may say of a doubtful effect that it was not published.
    pub(super) fn settle_after(self, attempts: u32, outcome: Outcome) -> Settled<T> {
        let outcome = match outcome {
            Err(failure) if self.is_doubtful => Err(failure.with_doubt()),
            outcome => outcome,
        };
        Settled {
            origin: self.origin,
            id: self.effect.id,
            outcome,
            lane: self.lane,
            route: self.route,
            place: self.place,
            operation: self.effect.operation,
            attempts,
            parks: false,
            is_doubtful: self.is_doubtful,
        }
    }
}
