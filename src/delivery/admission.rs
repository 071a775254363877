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
//! for the same reason. What found no room is not overtaken for a little longer,
//! counted from when its lane is empty ([`shut`]).
//!
//! A connection that resends so much of what is on its way that it crowds out
//! others has to wait ([`joins`]). Nobody waits over a connection that is closed:
//! its submissions are forgotten, but for those by which an effect is on its way
//! ([`Admission::handle_left`]).

mod arriving;
mod joins;
mod settling;
mod shut;
mod waiting;

use std::collections::{HashMap, HashSet, VecDeque};

use super::Producer;
use super::dedupe::{Dedupe, Known, Ticket, Waiters};
use super::effect::{Outcome, Place};
use super::failure::{Class, Failure};
use super::fences::{Fences, Standing};
use super::gaps::Gaps;
use super::parks::{Parked, Parks};
use super::path::Path;
use crate::clock::BootTime;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};
use joins::Joins;
use shut::Shut;

/// Of so many submissions that wait one may be of a connection that is closed,
/// before those are looked for: to look costs as much as there are.
const GONE_SHARE: usize = 16;

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
    /// Another had submitted it before, and has no answer yet.
    is_joined: bool,
    /// Its connection is closed, and was looked for.
    is_gone: bool,
    /// Where its fence had or has it, if it joined another.
    fenced_at: Option<Standing>,
    /// Where it stands over its connection, should it have to come again, if it joined
    /// another.
    stands_at: Option<u64>,
}

/// Connections that are closed, and whose submissions are still to be looked for.
#[derive(Debug, Default)]
struct Gone {
    producers: HashSet<Producer>,
    /// What they were not answered.
    unanswered: usize,
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
    shut: Shut,
    joins: Joins,
    gone: Gone,
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
            shut: Shut::default(),
            joins: Joins::default(),
            gone: Gone::default(),
            arrivals: 0,
            answers: VecDeque::new(),
        }
    }

    /// The next connection that is not to be read, or is again: of all submissions
    /// that wait for the outcome of another it has too many.
    pub(crate) fn poll_crowding(&mut self) -> Option<(Producer, bool)> {
        self.joins.poll_moved()
    }

    /// Whether there is room for more that wait for the outcome of another, also of
    /// connections that do not know yet that they have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.joins.len() < joins::STOP_AT
    }

    /// Whether `effect` is published, or was dropped.
    pub(crate) fn is_done(&mut self, effect: &SideEffect, now: BootTime) -> bool {
        self.dedupe.look_up(effect, now) == Known::Done
    }

    /// Every answer given so far is on its way to its daemon.
    pub(crate) fn handle_told(&mut self) {
        self.refused.clear();
    }

    /// A connection is closed. What it waits for is settled all the same.
    pub(crate) fn handle_closed(&mut self, producer: Producer) {
        self.gaps.close(producer);
        self.fences.close(producer);
        self.shut.close(producer);
    }

    /// A connection is closed that was not answered so much. Returns with what
    /// those were submitted that nobody waits for any more, though they were not
    /// answered: another waits for the same, or what was submitted is gone.
    ///
    /// Those of a connection that was owed little may come with a later one.
    pub(crate) fn handle_left(&mut self, producer: Producer, unanswered: usize) -> Vec<T> {
        if unanswered == 0 {
            return Vec::new();
        }
        self.gone.producers.insert(producer);
        self.gone.unanswered += unanswered;
        if self.gone.unanswered * GONE_SHARE < self.dedupe.waiting() {
            return Vec::new();
        }
        let gone = std::mem::take(&mut self.gone).producers;
        let left = self.dedupe.retain_waiters(|(submitter, _)| {
            submitter.is_gone |= gone.contains(&submitter.producer);
            !submitter.is_gone
        });
        let left = left.into_iter().map(|(submitter, origin)| {
            self.end_wait(submitter);
            origin
        });
        left.collect()
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

    /// How often a lane was to be parked and went on, because no more may be.
    pub(crate) fn unparked(&self) -> u64 {
        self.parks.refused()
    }

    /// How often something failed for now, and not all that comes behind it is held
    /// up for it, because no more may be.
    pub(crate) fn unguarded(&self) -> u64 {
        self.gaps.refused() + self.fences.refused()
    }

    /// The lanes that are parked here, and why.
    pub(crate) fn parked(&self) -> impl Iterator<Item = (Option<&str>, &LaneKey, &Parked)> {
        let parked = self.parks.iter();
        parked.map(|(path, parked)| (path.route.as_deref(), &path.lane, parked))
    }

    /// The next lane that was parked, or is open again by itself.
    pub(crate) fn poll_change(&mut self) -> Option<LaneChange> {
        self.changes.pop_front()
    }

    /// The next answer to give.
    pub(crate) fn poll_answer(&mut self) -> Option<Answer<T>> {
        self.answers.pop_front()
    }

    /// Whether whoever submitted it waits for no answer any more.
    fn is_gone(&self, submitter: Submitter) -> bool {
        submitter.is_gone || self.gone.producers.contains(&submitter.producer)
    }

    fn answer_all(&mut self, waiters: Waiters<(Submitter, T)>, outcome: &Outcome) {
        for (id, (submitter, origin)) in waiters.into_iter() {
            self.end_wait(submitter);
            self.settle_fence(submitter, id);
            self.answer(origin, id, outcome.clone());
        }
    }

    /// A submission that joined another is settled: nothing waits for it any more.
    fn settle_fence(&mut self, submitter: Submitter, id: EffectId) {
        if let Some(standing) = submitter.fenced_at {
            self.fences.settle(standing, id);
        }
    }

    /// A submission waits no longer.
    fn end_wait(&mut self, submitter: Submitter) {
        if submitter.is_joined {
            self.joins.remove(submitter.producer);
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
