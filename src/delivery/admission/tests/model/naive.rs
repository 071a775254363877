//! What is said to whoever submits something: found by looking through all that
//! ever came.

use std::collections::{BTreeMap, BTreeSet};

use super::begun::{All, Begun, End, Known, Waiter};
use super::shut::Shut;
use super::waiting::{Come, Waiting};
use super::*;

/// How long what failed is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Default)]
pub(super) struct Naive {
    begun: All,
    waiting: Waiting,
    shut: Shut,
    arrivals: u64,
    /// Lanes of which something was refused, and nobody knows it.
    refused: BTreeMap<LaneKey, String>,
    gone: BTreeSet<Producer>,
    /// What those were owed that were not looked for.
    not_looked_for: usize,
    answers: Vec<Told>,
}

fn come(effect: &SideEffect, from: Producer) -> Come {
    Come {
        from,
        lane: effect.lane.clone(),
        channel: effect.operation.channel().to_owned(),
        id: effect.id,
        key: known_by(effect),
        number: effect.operation.sequence_number(),
        is_ordered: effect.is_ordered,
    }
}

impl Naive {
    pub(super) fn answers(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.answers)
    }

    /// At which place it is let through, if it is.
    pub(super) fn submit(
        &mut self,
        effect: &SideEffect,
        from: Producer,
        origin: u32,
        now: BootTime,
    ) -> Option<u64> {
        let it = come(effect, from);
        let mut waiter = Waiter {
            from,
            origin,
            id: effect.id,
            is_ordered: effect.is_ordered,
            stands_at: None,
            fenced_at: None,
        };
        let failed_at = match self.begun.known(effect, now) {
            Known::Open(at) => {
                self.arrivals += 1;
                waiter.fenced_at = self.join(at, &it, now);
                let stands_at = waiter.fenced_at.unwrap_or(self.arrivals);
                waiter.stands_at = Some(stands_at);
                self.begun.0[at].waiters.push(waiter);
                return None;
            }
            Known::Done => {
                self.waiting.pass_gate(&it, None, now);
                self.waiting.pass_fence(&it, None);
                self.shut.pass(&it, now);
                self.answer(&waiter, "ok".into());
                return None;
            }
            Known::Conflict => {
                self.answer(&waiter, conflict().to_string());
                return None;
            }
            Known::Not(failed_at) => failed_at,
        };
        self.arrivals += 1;
        let own = failed_at.filter(|(_, over)| *over == from);
        let met = self.waiting.meet(&it, own.map(|(place, _)| place), now);
        let place = met.at.unwrap_or(self.arrivals);
        let came = met.stood_at.unwrap_or(place);
        let refusal = met.refusal.or_else(|| {
            let untold = self.refused.get(&effect.lane).cloned();
            let text = untold.or_else(|| self.shut.meet(&it, met.stood_at, now));
            text.map(|text| (text, now.after(PATIENCE)))
        });
        if let Some((text, until)) = refusal {
            self.waiting.hold_up(&it, came, until, now);
            self.answer(&waiter, text);
            return None;
        }
        self.waiting.pass_gate(&it, Some(place), now);
        if it.is_ordered {
            self.waiting.pass_fence(&it, Some(place));
        }
        self.begun.0.push(Begun {
            effect: effect.clone(),
            from,
            waiters: vec![waiter],
            failed_at: met.at.filter(|_| failed_at.is_some()).map(|at| (at, from)),
            end: End::Open,
        });
        Some(place)
    }

    /// One waits for what is on its way; returns where it stood in its fence.
    fn join(&mut self, at: usize, it: &Come, now: BootTime) -> Option<u64> {
        self.shut.pass(it, now);
        let last = Some(self.arrivals);
        if let Some((place, _)) = self.begun.0[at].failed_at
            && !it.is_ordered
        {
            self.waiting.pass_gate(it, Some(place), now);
            return self.waiting.pass_fence(it, Some(place));
        }
        self.waiting.pass_gate(it, last, now);
        self.waiting.stands_at(it)
    }

    fn answer(&mut self, waiter: &Waiter, text: String) {
        self.answers.push((waiter.origin, waiter.id, text));
    }

    /// What was let through found no room.
    pub(super) fn refused(&mut self, admitted: &Admitted, failure: &Failure, now: BootTime) {
        if !failure.class.is_final() {
            let lane = admitted.effect.lane.clone();
            self.refused.insert(lane, failure.to_string());
        }
        self.fails(admitted.effect.id, admitted.place.stands_at(), failure, now);
    }

    pub(super) fn settled(&mut self, settled: &Settled<Ticket>, now: BootTime) {
        match &settled.outcome {
            Ok(()) => self.is_done(settled.id, now),
            Err(failure) => self.fails(settled.id, settled.place.stands_at(), failure, now),
        }
    }

    fn is_done(&mut self, id: EffectId, now: BootTime) {
        let begun = self.begun.open(id);
        begun.end = End::Done(now);
        for waiter in std::mem::take(&mut begun.waiters) {
            self.is_settled(&waiter);
            self.answer(&waiter, "ok".into());
        }
    }

    fn is_settled(&mut self, waiter: &Waiter) {
        if waiter.fenced_at.is_some() {
            self.waiting.settle(waiter.from, waiter.id);
        }
    }

    fn fails(&mut self, id: EffectId, place: u64, failure: &Failure, now: BootTime) {
        let begun = self.begun.open(id);
        let from = begun.from;
        let before = begun.failed_at;
        let whose = before.filter(|(before, _)| *before == place);
        let is_untried = failure.class.is_untried();
        begun.end = match begun.failed_at {
            Some(before) if is_untried => End::Failed(now, before),
            None if is_untried => End::Forgotten,
            _ => End::Failed(now, whose.unwrap_or((place, from))),
        };
        let (effect, waiters) = (begun.effect.clone(), std::mem::take(&mut begun.waiters));
        for waiter in waiters {
            if failure.class.is_final() {
                self.is_settled(&waiter);
            } else if !self.gone.contains(&waiter.from) {
                let it = Come {
                    id: waiter.id,
                    is_ordered: waiter.is_ordered,
                    ..come(&effect, waiter.from)
                };
                let stood_at = waiter.stands_at.unwrap_or(place);
                self.waiting
                    .hold_up(&it, stood_at, now.after(PATIENCE), now);
                self.shut.fails(&it, stood_at, failure.class, now);
            }
            self.answer(&waiter, failure.to_string());
        }
    }

    /// A lane that was full holds nothing any more.
    pub(super) fn emptied(&mut self, lane: &LaneKey, now: BootTime) {
        self.shut.emptied(lane, now);
    }

    pub(super) fn told(&mut self) {
        self.refused.clear();
    }

    /// A connection is closed that was owed so much; who is forgotten for that.
    pub(super) fn close(&mut self, closed: Producer, unanswered: usize) -> Vec<u32> {
        self.gone.insert(closed);
        self.waiting.close(closed);
        self.shut.close(closed);
        self.not_looked_for += unanswered;
        if unanswered == 0 || self.not_looked_for * 16 < self.begun.waiting() {
            return Vec::new();
        }
        self.not_looked_for = 0;
        self.begun.forget(|from| self.gone.contains(&from))
    }
}
