//! The gates an effect meets as it arrives.

use super::waiting::Met;
use super::{Admission, Admitted, Submitter, conflict};
use crate::clock::BootTime;
use crate::delivery::dedupe::{Known, Ticket, known_by};
use crate::delivery::effect::{Place, Producer};
use crate::delivery::failure::Failure;
use crate::delivery::fences::Standing;
use crate::delivery::gaps::{Failed, PATIENCE, Stream};
use crate::delivery::parks::Found;
use crate::delivery::path::Path;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

impl<T> Admission<T> {
    /// A daemon wants `effect` published. Returns it if that is to be done.
    pub(crate) fn handle_submit(
        &mut self,
        effect: SideEffect,
        producer: Producer,
        origin: T,
        now: BootTime,
    ) -> Option<Admitted> {
        let known = self.dedupe.look_up(&effect, now);
        let mut submitter = Submitter {
            producer,
            is_ordered: effect.is_ordered,
            is_joined: matches!(known, Known::Open(_)),
            is_gone: false,
            fenced_at: None,
            stands_at: None,
        };
        let failed_at = match known {
            Known::Not { failed_at } => failed_at,
            Known::Open(ticket) => {
                let next = self.next_arrival();
                submitter.fenced_at = self.pass_joined(ticket, &effect, producer, now);
                let stands_at = submitter.fenced_at.map_or(next, |at| at.place);
                submitter.stands_at = Some(stands_at);
                self.dedupe.join(ticket, effect.id, (submitter, origin));
                self.joins.add(producer);
                return None;
            }
            Known::Done => {
                self.pass(&effect, producer, None, now);
                self.answer(origin, effect.id, Ok(()));
                return None;
            }
            Known::Conflict => {
                self.answer(origin, effect.id, Err(conflict()));
                return None;
            }
        };
        // Another connection tells nothing of the order of this one.
        let own = failed_at.filter(|(_, by)| *by == producer);
        let own = own.map(|(place, _)| place);
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
                let next = self.next_arrival();
                self.turn_away(&effect, producer, own.unwrap_or(next), by, now);
                self.answer(origin, effect.id, Err(Failure::parked(by)));
                return None;
            }
        }
        let next = self.next_arrival();
        let stream = stream(&effect, producer);
        let Met {
            at,
            stood_at,
            refusal,
        } = self.meet(&stream, &effect, own, now);
        let arrival = at.unwrap_or(next);
        let stands_at = stood_at.unwrap_or(arrival);
        let refusal = refusal.or_else(|| {
            let failure = self.refused_before(&effect, producer, stood_at, now)?;
            Some((failure, now.after(PATIENCE)))
        });
        if let Some((failure, until)) = refusal {
            self.hold_up(&stream, &Failed::new(&effect, stands_at), until, now);
            self.answer(origin, effect.id, Err(failure));
            return None;
        }
        self.let_pass(&stream, &effect, arrival, now);
        let waiter = (submitter, origin);
        let failed_at = at.filter(|_| failed_at.is_some());
        let failed_at = failed_at.map(|at| (at, producer));
        let ticket = self.dedupe.begin(&effect, failed_at, waiter);
        let stands = Some(stands_at);
        let place = Place {
            stands,
            ..Place::new(arrival, producer)
        };
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

    /// An effect came again, and nothing stands in its way: if anything waits for it
    /// over this connection, that does so no more, or until it fails once more. It goes
    /// out `at` that place, if it does.
    /// Returns where it stood in its fence.
    fn pass(
        &mut self,
        effect: &SideEffect,
        producer: Producer,
        at: Option<u64>,
        now: BootTime,
    ) -> Option<Standing> {
        let stream = stream(effect, producer);
        self.gaps.pass(&stream, &effect.operation, at, now);
        self.shut.pass(effect, producer, now);
        self.fences.pass(&stream, effect.id, at)
    }

    /// The same, if it joins what is on its way. What has none of its places from before
    /// goes out behind all that came since, and what wants order wherever another
    /// connection has it: its fence stands until it is settled, or what stands behind it
    /// there would overtake it.
    fn pass_joined(
        &mut self,
        ticket: Ticket,
        effect: &SideEffect,
        producer: Producer,
        now: BootTime,
    ) -> Option<Standing> {
        let at = self.dedupe.place(ticket).filter(|_| !effect.is_ordered);
        if at.is_some() {
            return self.pass(effect, producer, at, now);
        }
        let stream = stream(effect, producer);
        let last = Some(self.arrivals);
        self.gaps.pass(&stream, &effect.operation, last, now);
        self.shut.pass(effect, producer, now);
        self.fences.standing_at(&stream, effect.id)
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
        let stood = self.pass(&effect, producer, Some(arrival), now);
        let stands = stood.map_or_else(|| self.next_arrival(), |at| at.place);
        let stands = Some(stands).filter(|_| effect.is_ordered);
        let waiter = (submitter, origin);
        let at = (arrival, producer);
        let ticket = self.dedupe.begin(&effect, Some(at), waiter);
        let (route, lane) = (effect.route.as_deref(), &effect.lane);
        self.parks.handle_tried(route, lane, ticket);
        let place = Place {
            stands,
            ..Place::new(arrival, producer)
        };
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
        producer: Producer,
        stands_at: u64,
        by: EffectId,
        now: BootTime,
    ) {
        let failed = Failed::new(effect, stands_at);
        let stream = stream(effect, producer);
        self.hold_up(&stream, &failed, now.after(PATIENCE), now);
        self.refused.insert(Path::of(effect), Failure::parked(by));
    }

    /// Why an effect of its lane was refused, if nobody knows it yet, or what came
    /// behind that may still be on its way.
    fn refused_before(
        &mut self,
        effect: &SideEffect,
        producer: Producer,
        failed_at: Option<u64>,
        now: BootTime,
    ) -> Option<Failure> {
        if !self.refused.is_empty()
            && let Some(failure) = self.refused.get(&Path::of(effect))
        {
            return Some(failure.clone());
        }
        self.shut.arrive(effect, producer, failed_at, now)
    }
}

fn stream(effect: &SideEffect, producer: Producer) -> Stream<'_> {
    Stream {
        lane: &effect.lane,
        route: effect.route.as_deref(),
        producer,
    }
}
