//! What becomes of an effect as it arrives.
//!
//! Stands between the daemons and the lanes, or the journal. Answers at once
//! what needs no publishing: what was published already, what has to wait for
//! an earlier message that failed, an id that was used for something else.
//! Lets everything else through once, however often it is submitted meanwhile.
//!
//! ```text
//!                ┌── published already ──────────────▶ SUCCESS
//!                ├── its id means something else ────▶ FAILED rejected: id_conflict
//!                ├── its lane waits for another ─────▶ FAILED parked
//! effect ────────┼── what must come first failed ────▶ FAILED gap
//!                ├── on its way already ──▶ joined ───────────┐
//!                └── let through ────▶ lane ────▶ settled ────┴──▶ one answer to each submission
//! ```
//!
//! Promises one answer for each submission, with the id and to the connection
//! it came with; and that nothing overtakes what was refused for now, before
//! its daemon was told: whoever hands out the answers says so
//! ([`Admission::handle_told`]), and until then the rest of its lane is refused
//! for the same reason.

use std::collections::{HashMap, VecDeque};

use super::Producer;
use super::dedupe::{Dedupe, Done, Known, Ticket, Waiters, known_by};
use super::failure::{Class, Failure};
use super::fences::Fences;
use super::gaps::{Gaps, Stream};
use super::lane::{Outcome, Place, Settled};
use super::parks::{Found, Parked, Parks, Path};
use crate::clock::BootTime;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};

/// Submissions that may wait for the outcome of another, over all; at it no
/// socket is read.
const JOINED_MAX: usize = 65_536;

/// An effect that is let through; whoever takes it settles it by its ticket.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub effect: SideEffect,
    pub place: Place,
    pub ticket: Ticket,
}

/// The answer to one submission.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// What was submitted with it.
    pub origin: T,
    /// The id it was submitted by.
    pub id: EffectId,
    /// What the daemon is told.
    pub outcome: Outcome,
}

/// Who submitted an effect, and how.
#[derive(Debug, Clone, Copy)]
struct Submitter {
    producer: Producer,
    /// Whether it asked for the order of its lane to be kept over failures.
    is_ordered: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission<T> {
    dedupe: Dedupe<(Submitter, T)>,
    gaps: Gaps,
    fences: Fences,
    parks: Parks,
    changes: VecDeque<LaneChange>,
    /// Lanes of which an effect was refused for now, and nobody knows it yet.
    refused: HashMap<Path, Failure>,
    arrivals: u64,
    answers: VecDeque<Answer<T>>,
}

/// A lane is parked, or open again by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneChange {
    /// Over which transport, if not over the chain's own.
    pub route: Option<Box<str>>,
    /// Which.
    pub lane: LaneKey,
    /// The effect it waits for, and how that failed; nothing if it came again.
    pub parked: Option<(EffectId, Box<str>)>,
}

impl<T> Admission<T> {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self {
            dedupe: Dedupe::new(),
            gaps: Gaps::default(),
            fences: Fences::default(),
            parks: Parks::default(),
            changes: VecDeque::new(),
            refused: HashMap::new(),
            arrivals: 0,
            answers: VecDeque::new(),
        }
    }

    /// Whether more effects may be submitted.
    pub(crate) fn has_room(&self) -> bool {
        self.dedupe.joined() < JOINED_MAX
    }

    /// Whether `effect` is published, or durable.
    pub(crate) fn is_done(&mut self, effect: &SideEffect, now: BootTime) -> bool {
        self.dedupe.look_up(effect, now) == Known::Done
    }

    /// A daemon wants `effect` published. Returns it if that is to be done.
    pub(crate) fn handle_submit(
        &mut self,
        effect: SideEffect,
        producer: Producer,
        origin: T,
        now: BootTime,
    ) -> Option<Admitted> {
        let submitter = Submitter {
            producer,
            is_ordered: effect.is_ordered,
        };
        let failed_at = match self.dedupe.look_up(&effect, now) {
            Known::Not { failed_at } => failed_at,
            Known::Open(ticket) => {
                self.dedupe.join(ticket, effect.id, (submitter, origin));
                return None;
            }
            Known::Done => {
                self.answer(origin, effect.id, Ok(()));
                return None;
            }
            Known::Conflict => {
                self.answer(origin, effect.id, Err(conflict()));
                return None;
            }
        };
        let (route, lane) = (effect.route.as_deref(), &effect.lane);
        match self
            .parks
            .arrive(route, lane, effect.id, || known_by(&effect))
        {
            Found::Open => {}
            Found::Awaited { arrival } => {
                return Some(self.try_again(effect, submitter, origin, arrival, now));
            }
            Found::Parked { by } => {
                let arrival = failed_at.unwrap_or_else(|| self.next_arrival());
                self.turn_away(&effect, submitter, arrival, by, now);
                self.answer(origin, effect.id, Err(Failure::parked(by)));
                return None;
            }
        }
        let stream = Stream {
            lane: &effect.lane,
            route: effect.route.as_deref(),
            producer,
        };
        if let Some(expected) = self.gaps.arrive(&stream, &effect.operation, now) {
            let failure = Failure::new(Class::Gap, format!("expected {expected}"));
            self.answer(origin, effect.id, Err(failure));
            return None;
        }
        let next = self.next_arrival();
        let fenced_at = if effect.is_ordered {
            self.fences.place(&stream, effect.id)
        } else {
            None
        };
        let arrival = failed_at.or(fenced_at).unwrap_or(next);
        if effect.is_ordered
            && let Some(first) = self.fences.arrive(&stream, effect.id, arrival, now)
        {
            let failure = Failure::new(Class::Gap, format!("resend {first}"));
            self.answer(origin, effect.id, Err(failure));
            return None;
        }
        if let Some(failure) = self.refused_before(&effect) {
            self.gaps.fail(&stream, &effect.operation, now);
            if effect.is_ordered {
                self.fences.fail(&stream, effect.id, arrival, now);
            }
            self.answer(origin, effect.id, Err(failure));
            return None;
        }
        let waiter = (submitter, origin);
        let ticket = self.dedupe.begin(&effect, failed_at, waiter);
        let place = Place { arrival, producer };
        Some(Admitted {
            effect,
            place,
            ticket,
        })
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// The effect its lane waits for goes first, past every gate: those wait for
    /// what waits for it.
    fn try_again(
        &mut self,
        effect: SideEffect,
        submitter: Submitter,
        origin: T,
        arrival: u64,
        now: BootTime,
    ) -> Admitted {
        let producer = submitter.producer;
        let stream = Stream {
            lane: &effect.lane,
            route: effect.route.as_deref(),
            producer,
        };
        self.gaps.pass(&stream, &effect.operation, now);
        self.fences.pass(&stream, effect.id);
        let waiter = (submitter, origin);
        let ticket = self.dedupe.begin(&effect, Some(arrival), waiter);
        let (route, lane) = (effect.route.as_deref(), &effect.lane);
        self.parks.handle_tried(route, lane, ticket);
        let place = Place { arrival, producer };
        Admitted {
            effect,
            place,
            ticket,
        }
    }

    /// An effect of a parked lane fails for now: once the lane is open, nothing
    /// overtakes it.
    fn turn_away(
        &mut self,
        effect: &SideEffect,
        submitter: Submitter,
        arrival: u64,
        by: EffectId,
        now: BootTime,
    ) {
        let stream = Stream {
            lane: &effect.lane,
            route: effect.route.as_deref(),
            producer: submitter.producer,
        };
        self.gaps.fail(&stream, &effect.operation, now);
        if submitter.is_ordered {
            self.fences.hold(&stream, effect.id, arrival, now);
        }
        let path = (effect.route.clone(), effect.lane.clone());
        self.refused.insert(path, Failure::parked(by));
    }

    /// The lane of an effect that was settled waits for it from now on.
    fn park(&mut self, path: Path, by: EffectId, parked: Parked) {
        let error = parked.error.clone();
        let (route, lane) = path.clone();
        if self.parks.park(path, parked) {
            self.changes.push_back(LaneChange {
                route,
                lane,
                parked: Some((by, error)),
            });
        }
    }

    /// What was let through has its outcome.
    pub(crate) fn handle_settled(&mut self, settled: Settled<Ticket>, now: BootTime) {
        let ticket = settled.origin;
        let Err(failure) = settled.outcome else {
            self.handle_done(ticket, now);
            return;
        };
        let (lane, route) = (settled.lane, settled.route);
        let arrival = settled.place.arrival;
        self.parks.handle_failed(ticket);
        if settled.parks {
            let known_by = (self.dedupe.known(ticket).known_by, arrival);
            let parked = Parked::new(settled.id, known_by, &failure.to_string(), now);
            self.park((route.clone(), lane.clone()), settled.id, parked);
        }
        let waiters = if failure.class.is_untried() {
            self.dedupe.turned_away(ticket, now)
        } else {
            self.dedupe.failed(ticket, arrival, now)
        };
        for (id, (submitter, origin)) in waiters.into_iter() {
            let stream = Stream {
                lane: &lane,
                route: route.as_deref(),
                producer: submitter.producer,
            };
            if !failure.class.is_final() {
                self.gaps.fail(&stream, &settled.operation, now);
                if submitter.is_ordered {
                    self.fences.fail(&stream, id, arrival, now);
                }
            }
            self.answer(origin, id, Err(failure.clone()));
        }
    }

    /// Why an effect of its lane was refused, if nobody knows it yet.
    fn refused_before(&self, effect: &SideEffect) -> Option<Failure> {
        if self.refused.is_empty() {
            return None;
        }
        let path = (effect.route.clone(), effect.lane.clone());
        self.refused.get(&path).cloned()
    }

    /// Every answer given so far is on its way to its daemon.
    pub(crate) fn handle_told(&mut self) {
        self.refused.clear();
    }

    /// What was let through found no room.
    pub(crate) fn handle_refused(&mut self, admitted: Admitted, failure: Failure, now: BootTime) {
        let Admitted {
            effect,
            place,
            ticket,
        } = admitted;
        if !failure.class.is_final() {
            let path = (effect.route.clone(), effect.lane.clone());
            self.refused.insert(path, failure.clone());
        }
        let settled = Settled {
            origin: ticket,
            id: effect.id,
            outcome: Err(failure),
            lane: effect.lane,
            route: effect.route,
            place,
            operation: effect.operation,
            attempts: 0,
            parks: false,
        };
        self.handle_settled(settled, now);
    }

    /// What was let through is published, or durable.
    pub(crate) fn handle_done(&mut self, ticket: Ticket, now: BootTime) {
        self.open_lane(ticket);
        let waiters = self.dedupe.done(ticket, now);
        self.answer_all(waiters, &Ok(()));
    }

    /// How what was let through is known if it comes again, for whoever notes it.
    pub(crate) fn known(&self, ticket: Ticket) -> Done {
        self.dedupe.known(ticket)
    }

    /// What was let through is kept: whoever keeps it knows it, until it is
    /// [done](Self::handle_done_elsewhere).
    pub(crate) fn handle_kept(&mut self, ticket: Ticket) {
        self.open_lane(ticket);
        let waiters = self.dedupe.forget(ticket);
        self.answer_all(waiters, &Ok(()));
    }

    /// The lane that waits for it, if one does, goes on.
    fn open_lane(&mut self, ticket: Ticket) {
        if let Some((route, lane)) = self.parks.handle_done(ticket) {
            let parked = None;
            self.changes.push_back(LaneChange {
                route,
                lane,
                parked,
            });
        }
    }

    /// What was let through has the id of something else that is kept.
    pub(crate) fn handle_conflict(&mut self, ticket: Ticket) {
        self.parks.handle_failed(ticket);
        let waiters = self.dedupe.forget(ticket);
        self.answer_all(waiters, &Err(conflict()));
    }

    /// What was kept, or was let through in an earlier life, was done at `at`; to
    /// be told oldest first.
    pub(crate) fn handle_done_elsewhere(&mut self, done: &Done, at: BootTime) {
        self.dedupe.restore(done, at);
    }

    /// A connection is closed. What it waits for is settled all the same.
    pub(crate) fn handle_closed(&mut self, producer: Producer) {
        self.gaps.close(producer);
        self.fences.close(producer);
    }

    /// The time [`poll_timeout`](Self::poll_timeout) asked for has come.
    pub(crate) fn handle_timeout(&mut self, now: BootTime) {
        self.dedupe.sweep(now);
    }

    /// When there is something to forget. Nothing depends on it but memory.
    pub(crate) fn poll_timeout(&self) -> Option<BootTime> {
        self.dedupe.sweep_at()
    }

    /// An operator lets a lane go on without what it waits for. Returns whether
    /// it was parked here.
    pub(crate) fn handle_resumed(&mut self, route: Option<&str>, lane: &LaneKey) -> bool {
        self.parks.resume(route, lane)
    }

    /// How many lanes are parked here.
    pub(crate) fn parked_len(&self) -> usize {
        self.parks.len()
    }

    /// The lanes that are parked here, and why.
    pub(crate) fn parked(&self) -> impl Iterator<Item = (Option<&str>, &LaneKey, &Parked)> {
        let parked = self.parks.iter();
        parked.map(|((route, lane), parked)| (route.as_deref(), lane, parked))
    }

    /// The next lane that was parked, or is open again by itself.
    pub(crate) fn poll_change(&mut self) -> Option<LaneChange> {
        self.changes.pop_front()
    }

    /// The next answer to give.
    pub(crate) fn poll_answer(&mut self) -> Option<Answer<T>> {
        self.answers.pop_front()
    }

    fn answer_all(&mut self, waiters: Waiters<(Submitter, T)>, outcome: &Outcome) {
        for (id, (_, origin)) in waiters.into_iter() {
            self.answer(origin, id, outcome.clone());
        }
    }

    fn answer(&mut self, origin: T, id: EffectId, outcome: Outcome) {
        self.answers.push_back(Answer {
            origin,
            id,
            outcome,
        });
    }
}

fn conflict() -> Failure {
    let text = "id_conflict: this effect id was used for another effect";
    Failure::new(Class::Rejected, text)
}

#[cfg(test)]
mod tests;
