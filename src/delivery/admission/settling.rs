//! What becomes of effects that were let through, and what it means for those
//! that come behind them.

use super::shut::Refused;
use super::{Admission, Admitted, LaneChange, conflict};
use crate::clock::BootTime;
use crate::delivery::dedupe::{Done, Ticket};
use crate::delivery::effect::Settled;
use crate::delivery::failure::{Class, Failure};
use crate::delivery::gaps::{Failed, PATIENCE, Stream};
use crate::delivery::parks::Parked;
use crate::delivery::path::Path;
use crate::protocol::id::{EffectId, LaneKey};

impl<T> Admission<T> {
    /// What was let through has its outcome.
    pub(crate) fn handle_settled(&mut self, settled: Settled<Ticket>, now: BootTime) {
        let ticket = settled.origin;
        let Err(failure) = settled.outcome else {
            self.handle_done(ticket, now);
            return;
        };
        let (lane, route) = (settled.lane, settled.route);
        let (arrival, producer) = (settled.place.arrival, settled.place.producer);
        let stands_at = settled.place.stands_at();
        let known_by = self.dedupe.known(ticket).known_by;
        self.parks.handle_failed(ticket);
        if settled.parks {
            let place = (known_by, arrival);
            let parked = Parked::new(settled.id, place, &failure.to_string(), now);
            self.park(Path::new(route.as_deref(), &lane), settled.id, parked);
        }
        // What may be published is to be known, should that turn out.
        let waiters = if failure.class.is_untried() && !settled.is_doubtful {
            self.dedupe.turned_away(ticket, now)
        } else {
            self.dedupe.failed(ticket, (stands_at, producer), now)
        };
        for (id, (submitter, origin)) in waiters.into_iter() {
            self.end_wait(submitter);
            let stream = Stream {
                lane: &lane,
                route: route.as_deref(),
                producer: submitter.producer,
            };
            if failure.class.is_final() {
                self.settle_fence(submitter, id);
            } else if !self.is_gone(submitter) {
                let failed = Failed {
                    id,
                    known_by,
                    operation: &settled.operation,
                    is_ordered: submitter.is_ordered,
                    arrival: submitter.stands_at.unwrap_or(stands_at),
                };
                self.hold_up(&stream, &failed, now.after(PATIENCE), now);
                let refused = Refused {
                    id,
                    known_by,
                    arrival: failed.arrival,
                };
                if failure.class == Class::LaneFull {
                    self.shut.refuse(&stream, refused, now);
                } else {
                    self.shut.fail(&stream, refused, failure.class, now);
                }
            }
            self.answer(origin, id, Err(failure.clone()));
        }
    }

    /// A lane that was full holds nothing any more.
    pub(crate) fn handle_emptied(&mut self, route: Option<&str>, lane: &LaneKey, now: BootTime) {
        self.shut.handle_emptied(Path::new(route, lane), now);
    }

    /// The lane of an effect that was settled waits for it from now on.
    fn park(&mut self, path: Path, by: EffectId, parked: Parked) {
        let error = parked.error.clone();
        let Path { route, lane } = path.clone();
        if self.parks.park(path, parked) {
            self.changes.push_back(LaneChange {
                route,
                lane,
                parked: Some((by, error)),
            });
        }
    }

    /// What was let through found no room, and its lane holds nothing.
    pub(crate) fn handle_shut_out(&mut self, admitted: Admitted, failure: Failure, now: BootTime) {
        let path = Path::of(&admitted.effect);
        self.handle_refused(admitted, failure, now);
        self.shut.handle_emptied(path, now);
    }

    /// What was let through found no room. If that is because its lane is full,
    /// it is told [when the lane is empty](Self::handle_emptied).
    pub(crate) fn handle_refused(&mut self, admitted: Admitted, failure: Failure, now: BootTime) {
        let Admitted {
            effect,
            place,
            ticket,
        } = admitted;
        if !failure.class.is_final() {
            self.refused.insert(Path::of(&effect), failure.clone());
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
            is_doubtful: false,
        };
        self.handle_settled(settled, now);
    }

    /// What was let through is published.
    pub(crate) fn handle_done(&mut self, ticket: Ticket, now: BootTime) {
        self.open_lane(ticket);
        let waiters = self.dedupe.done(ticket, now);
        self.answer_all(waiters, &Ok(()));
    }

    /// Effects that failed went out together, and are published all the same: they
    /// are done, and told so when they come again. Returns how they are recognised.
    ///
    /// Not while one of them is open, because it came again: that goes its way, and
    /// those that may have to go with it, or the server would not know them. Nor
    /// what a lane waits for: it has to go its way as well, for the lane to go on.
    pub(crate) fn handle_published_late(
        &mut self,
        effects: &[EffectId],
        now: BootTime,
    ) -> Vec<Done> {
        if effects.iter().any(|id| self.dedupe.is_open(*id)) {
            return Vec::new();
        }
        let failed = effects.iter().filter_map(|id| self.dedupe.find_failed(*id));
        let free = failed.filter(|done| !self.parks.awaits(done.id, done.known_by));
        let all: Vec<_> = free.collect();
        for done in &all {
            self.dedupe.restore(done, now);
        }
        all
    }

    /// Whether an effect was let through, and has no outcome.
    #[cfg(test)]
    pub(crate) fn is_open(&self, id: EffectId) -> bool {
        self.dedupe.is_open(id)
    }

    /// What the first that waits for it was submitted with.
    pub(crate) fn origin(&self, ticket: Ticket) -> &T {
        &self.dedupe.first(ticket).1
    }

    /// How what was let through is known if it comes again, for whoever notes it.
    pub(crate) fn known(&self, ticket: Ticket) -> Done {
        self.dedupe.known(ticket)
    }

    /// What was let through is kept, or is a copy of what is: whoever keeps it
    /// knows it, and what becomes of it, until it is
    /// [done](Self::handle_done_elsewhere).
    pub(crate) fn handle_kept(&mut self, ticket: Ticket) {
        self.open_lane(ticket);
        let waiters = self.dedupe.forget(ticket);
        self.answer_all(waiters, &Ok(()));
    }

    /// The lane that waits for it, if one does, goes on.
    fn open_lane(&mut self, ticket: Ticket) {
        if let Some(Path { route, lane }) = self.parks.handle_done(ticket) {
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

    /// An effect was kept in an earlier life, and is: whoever keeps it knows it,
    /// until it is [done](Self::handle_done_elsewhere), and better than by its id
    /// alone.
    pub(crate) fn handle_kept_elsewhere(&mut self, id: EffectId) {
        self.dedupe.give_way(id);
    }
}
