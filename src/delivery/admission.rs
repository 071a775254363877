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
use super::dedupe::{Dedupe, Done, Known, Ticket, Waiters};
use super::failure::{Class, Failure};
use super::fences::Fences;
use super::gaps::{Gaps, Stream};
use super::lane::{Outcome, Place, Settled};
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
    /// Lanes of which an effect was refused for now, and nobody knows it yet.
    refused: HashMap<Path, Failure>,
    arrivals: u64,
    answers: VecDeque<Answer<T>>,
}

/// A lane of a route.
type Path = (Option<Box<str>>, LaneKey);

impl<T> Admission<T> {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self {
            dedupe: Dedupe::new(),
            gaps: Gaps::default(),
            fences: Fences::default(),
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
                let text = "id_conflict: this effect id was used for another effect";
                let failure = Failure::new(Class::Rejected, text);
                self.answer(origin, effect.id, Err(failure));
                return None;
            }
        };
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
        self.arrivals += 1;
        let arrival = failed_at.unwrap_or(self.arrivals);
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

    /// What was let through has its outcome.
    pub(crate) fn handle_settled(&mut self, settled: Settled<Ticket>, now: BootTime) {
        let Err(failure) = settled.outcome else {
            self.handle_done(settled.origin, now);
            return;
        };
        let arrival = settled.place.arrival;
        let waiters = if failure.class.is_untried() {
            self.dedupe.turned_away(settled.origin, now)
        } else {
            self.dedupe.failed(settled.origin, arrival, now)
        };
        for (id, (submitter, origin)) in waiters.into_iter() {
            let stream = Stream {
                lane: &settled.lane,
                route: settled.route.as_deref(),
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
        };
        self.handle_settled(settled, now);
    }

    /// What was let through is published, or durable.
    pub(crate) fn handle_done(&mut self, ticket: Ticket, now: BootTime) {
        let waiters = self.dedupe.done(ticket, now);
        self.answer_all(waiters, &Ok(()));
    }

    /// A journal says that this was done at `at`; to be told oldest first,
    /// before anything is submitted.
    pub(crate) fn restore(&mut self, done: &Done<'_>, at: BootTime) {
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

#[cfg(test)]
mod tests;
