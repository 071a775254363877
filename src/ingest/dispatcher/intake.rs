//! What is taken: how much at a time, and where it goes.

use tokio::time::Instant;

use super::super::SUBMISSIONS_MAX;
use super::super::session::SessionId;
use super::Dispatcher;
use super::keeper::{Keeper, Offer};
use super::submission::{Ack, Origin, Piece, Refused, Routed, Submission};
use super::ways::OWN;
use crate::clock::BootTime;
use crate::delivery::{Admitted, Class, Failure, Submitted};
use crate::protocol::envelope::SideEffect;

impl Dispatcher {
    /// Takes what has come, for as long as there is room.
    pub(super) fn take_all(&mut self, submission: Submission) {
        self.take(submission);
        for _ in 1..SUBMISSIONS_MAX {
            if !self.has_room() {
                return;
            }
            let Ok(submission) = self.submissions.try_recv() else {
                return;
            };
            self.take(submission);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let is_kept = self.keeper.as_ref().is_none_or(Keeper::has_room);
        is_kept && self.ways.has_room() && self.admission.has_room()
    }

    pub(super) fn take(&mut self, submission: Submission) {
        match submission {
            Submission::Open(session, back) => self.outboxes.open(session, back),
            Submission::Close(session) => {
                let unanswered = self.outboxes.close(session);
                self.admission.handle_closed(session.producer());
                self.leave(session, unanswered);
            }
            Submission::Piece(piece) => self.take_piece(piece),
            Submission::Taken(count) => {
                self.sums.accepted += count;
                self.sums.succeeded += count;
            }
            Submission::Refused(Refused { count, last }) => {
                self.sums.accepted += count;
                self.sums.count_failed(count, &last);
            }
            Submission::Effects(session, Routed { effects, arrived }) => {
                self.sums.accepted += effects.len() as u64;
                self.outboxes.owe(session, effects.len());
                for effect in effects {
                    self.submit(effect, session, arrived);
                }
            }
        }
    }

    /// Nobody waits for what came over this connection any more.
    fn leave(&mut self, session: SessionId, unanswered: usize) {
        let producer = session.producer();
        for left in self.admission.handle_left(producer, unanswered) {
            let producer = left.session.producer();
            self.owed.give_back(left.debt, producer, left.bytes);
        }
    }

    /// An effect that waits for another append than the next may still be lost,
    /// and the note must not be recorded before it.
    fn take_piece(&mut self, piece: Piece) {
        let records = self.keeper.as_ref().is_some_and(Keeper::records);
        let mut is_whole = records;
        let arrived = Instant::now();
        for effect in piece.effects {
            let session = SessionId::INBOX;
            if !records {
                let failure = Failure::new(Class::Unrecorded, "the disk takes nothing");
                self.refuse(&effect, session, failure);
                continue;
            }
            let is_done = self.admission.is_done(&effect, BootTime::now());
            is_whole &= self.submit(effect, session, arrived) || is_done;
        }
        if let Some(keeper) = self.keeper.as_mut().filter(|_| is_whole) {
            keeper.note(piece.note, piece.noted);
        }
    }

    /// Returns whether the effect is on disk, or will be with the next append.
    fn submit(&mut self, effect: SideEffect, session: SessionId, arrived: Instant) -> bool {
        let Some(route) = self.ways.find(effect.route.as_deref()) else {
            let route = effect.route.as_deref().unwrap_or_default();
            let text = format!("there is no route {route:?}");
            self.refuse(&effect, session, Failure::new(Class::Rejected, text));
            return false;
        };
        let now = BootTime::now();
        let (producer, bytes) = (session.producer(), effect.bytes);
        let origin = Origin {
            session,
            bytes,
            debt: self.owed.take(producer, route, &effect.lane, bytes),
            arrived,
        };
        let admitted = self.admission.handle_submit(effect, producer, origin, now);
        let Some(admitted) = admitted else {
            return false;
        };
        let offer = match &mut self.keeper {
            Some(keeper) => {
                let follows = self.ways.direct(route).holds(&admitted.effect.lane);
                keeper.offer(admitted, route, follows, arrived + self.patience)
            }
            None => Offer::Direct(admitted),
        };
        let is_kept = matches!(offer, Offer::Taken | Offer::Kept(_));
        match offer {
            Offer::Taken => {}
            // Not done: what is kept may still be given up, or dropped.
            Offer::Kept(ticket) => self.admission.handle_kept(ticket),
            Offer::Conflict(ticket) => self.admission.handle_conflict(ticket),
            Offer::Direct(admitted) => self.deliver(admitted, route),
            Offer::Refused(admitted, failure) => {
                self.admission.handle_refused(admitted, failure, now);
            }
        }
        is_kept
    }

    /// Brings an effect that is not kept to the lanes. However long it took to get
    /// here, it is waited for since it arrived.
    pub(super) fn deliver(&mut self, admitted: Admitted, route: usize) {
        let closed = self.closed.borrow().clone();
        if let (OWN, Some(why)) = (route, closed) {
            let failure = Failure::new(Class::Throttled, why);
            let now = BootTime::now();
            return self.admission.handle_refused(admitted, failure, now);
        }
        if let Some(failure) = self.has_no_room(&admitted, route) {
            return self.refuse_for_now(admitted, route, failure);
        }
        let way = self.ways.direct(route);
        let Admitted {
            effect,
            place,
            ticket,
        } = admitted;
        let arrived = self.admission.origin(ticket).arrived.into_std();
        let submitted = Submitted::new(effect, place, Some(ticket), arrived);
        way.submit(submitted);
    }

    /// An effect finds no room, and none that comes behind it may find some.
    fn refuse_for_now(&mut self, admitted: Admitted, route: usize, failure: Failure) {
        let lanes = &mut self.ways.direct(route).lanes;
        let lane = &admitted.effect.lane;
        let now = BootTime::now();
        if lanes.holds(lane) {
            lanes.handle_full(lane);
            self.admission.handle_refused(admitted, failure, now);
        } else {
            self.admission.handle_shut_out(admitted, failure, now);
        }
    }

    /// Why the lanes cannot take an effect, if they cannot.
    fn has_no_room(&mut self, admitted: &Admitted, route: usize) -> Option<Failure> {
        let way = self.ways.direct(route);
        if !way.has_room() {
            let text = "its route has as many effects waiting as it may";
            return Some(Failure::new(Class::LaneFull, text));
        }
        let (lanes, lane) = (&way.lanes, &admitted.effect.lane);
        let is_in_trouble = || lanes.is_down() || lanes.is_ill(lane);
        let producer = admitted.place.producer;
        let is_full = self.owed.is_full(producer, route, is_in_trouble)
            || lanes.is_alone(lane) && self.owed.surplus(producer, route).is_some();
        is_full.then(Failure::still_full)
    }

    /// Answers an effect that goes no further.
    fn refuse(&mut self, effect: &SideEffect, session: SessionId, failure: Failure) {
        let (id, bytes) = (effect.id, effect.bytes);
        if session != SessionId::INBOX {
            self.sums.count_failed(1, &failure);
        }
        let outcome = Err(failure);
        self.outboxes.push(session, Ack { id, bytes, outcome });
    }
}
