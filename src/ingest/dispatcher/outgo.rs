//! What goes out: requests to the transports, answers to the sessions.

use tokio::time::Instant;

use super::super::session::SessionId;
use super::Dispatcher;
use super::submission::{Ack, Origin};
use crate::clock::BootTime;

impl Dispatcher {
    /// Sends what may be sent. Returns whether kept effects were settled, and
    /// so others may be brought to the lanes.
    pub(super) fn send(&mut self, now: Instant) -> bool {
        let boot_time = BootTime::now();
        for way in self.ways.iter_mut() {
            way.send(self.memo.as_mut(), boot_time);
        }
        self.settle(now)
    }

    /// Brings what the lanes are done with to those who wait for it. Returns
    /// whether there were kept effects among them.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let boot_time = BootTime::now();
        let mut has_settled = false;
        self.ways.remember_forsaken();
        for way in self.ways.iter_mut() {
            while let Some(settled) = way.poll_settled() {
                if settled.outcome.is_ok() {
                    self.sums.count_published(now);
                }
                match (settled.origin, &mut self.keeper) {
                    (Some(ticket), keeper) => {
                        if let Some(keeper) = keeper.as_mut().filter(|_| settled.outcome.is_ok()) {
                            keeper.handle_around();
                        }
                        if let Some(memo) = self.memo.as_mut().filter(|_| settled.outcome.is_ok()) {
                            memo.handle_done(self.admission.known(ticket), boot_time);
                        }
                        let settled = settled.of(ticket);
                        self.admission.handle_settled(settled, boot_time);
                    }
                    (None, Some(keeper)) => {
                        let published = keeper.published(&settled);
                        if let (Some(memo), Some(published)) = (&mut self.memo, published) {
                            memo.handle_published(published, boot_time);
                        }
                        keeper.handle_settled(&settled, &mut self.admission);
                        has_settled = true;
                    }
                    (None, None) => {}
                }
            }
        }
        has_settled |= self.learn_late(boot_time);
        self.settle_emptied(boot_time);
        has_settled
    }

    /// What was published after its daemon was told that it failed is known when it
    /// comes again; what is kept is kept no more. Returns whether there was such.
    fn learn_late(&mut self, now: BootTime) -> bool {
        let mut was_kept = false;
        while let Some(effects) = self.ways.poll_published_late() {
            let done = self.admission.handle_published_late(&effects, now);
            if let Some(memo) = &mut self.memo {
                for done in done {
                    memo.handle_done(done, now);
                }
            }
            let Some(keeper) = &mut self.keeper else {
                continue;
            };
            was_kept |= keeper.settle_held(&effects, &mut self.ways);
            for published in keeper.handle_published_late(&effects, &mut self.admission) {
                was_kept = true;
                if let Some(memo) = &mut self.memo {
                    memo.handle_published(published, now);
                }
            }
        }
        was_kept
    }

    /// What came behind those that full lanes refused may not overtake them now.
    fn settle_emptied(&mut self, now: BootTime) {
        for route in self.ways.routes() {
            while let Some(lane) = self.ways.direct(route).lanes.poll_emptied() {
                let route = self.ways.name(route);
                self.admission.handle_emptied(route, &lane, now);
            }
        }
    }

    /// Notes what stands still, and is not to be waited for.
    fn note_still(&mut self) {
        for route in self.ways.routes() {
            let lanes = &mut self.ways.direct(route).lanes;
            while let Some((lane, is_still)) = lanes.poll_still() {
                self.owed.handle_lane(route, &lane, is_still);
            }
            while let Some((lane, is_slow)) = lanes.poll_slow() {
                self.owed.handle_slow(route, &lane, is_slow);
            }
            self.owed.handle_route(route, lanes.is_quiet());
        }
    }

    /// A lane that was found to stand still refuses what is too much, for the
    /// connections it is of. Returns whether one did.
    fn refuse_surplus(&mut self) -> bool {
        for route in self.ways.routes() {
            let lanes = &mut self.ways.direct(route).lanes;
            while let Some(lane) = lanes.poll_alone() {
                let mut has_refused = false;
                for producer in self.owed.producers(route, &lane) {
                    if let Some(surplus) = self.owed.surplus(producer, route) {
                        has_refused |= lanes.handle_surplus(&lane, producer, surplus);
                    }
                }
                if has_refused {
                    return true;
                }
            }
        }
        false
    }

    /// Tells the sessions what of theirs stands still, and which of them have to
    /// wait.
    fn tell_news(&mut self) {
        while let Some((producer, still)) = self.owed.poll_change() {
            self.outboxes.tell_still(SessionId::of(producer), still);
        }
        while let Some((producer, crowds)) = self.admission.poll_crowding() {
            self.outboxes.tell_crowding(SessionId::of(producer), crowds);
        }
    }

    /// Hands out the answers, and tells how it stands.
    pub(super) fn tell(&mut self) {
        let now = Instant::now();
        self.answer_all(now);
        self.note_still();
        // One lane after the other: what it gives back, the next may keep.
        while self.refuse_surplus() {
            self.settle(now);
            self.answer_all(now);
            self.note_still();
        }
        self.tell_news();
        self.outboxes.flush();
        self.admission.handle_told();
        self.tell_changes();
    }

    fn answer_all(&mut self, now: Instant) {
        while let Some(answer) = self.admission.poll_answer() {
            // The inbox offers again what is not taken, and says how it ends.
            if answer.origin.session != SessionId::INBOX {
                self.sums.count(&answer, now);
            }
            let Origin {
                session,
                bytes,
                debt,
                ..
            } = answer.origin;
            self.owed.give_back(debt, session.producer(), bytes);
            let ack = Ack {
                id: answer.id,
                bytes,
                outcome: answer.outcome,
            };
            self.outboxes.push(session, ack);
        }
    }
}
