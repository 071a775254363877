//! Who stands where among the lanes that may send, and which of them sends next.
//!
//! Three lines. Suspects, which may have cost us a connection, go first, a few
//! at a time. The others take turns. Those of them that are not well, because
//! their last request was not answered or met trouble, have a line of their own
//! and a share of what may be out at once: so hundreds of silent lanes take no
//! more from the others than a few do.
//!
//! A lane of which nothing is known waits among others of which nothing is
//! known. As long as what is out is not answered, that may be a line of lanes
//! that never will be; then every other turn is that of the last that came.

use super::{Lanes, Peer};
use crate::delivery::effect::Producer;
use crate::delivery::lane::{Lane, Standing, State};

impl<T> Lanes<T> {
    /// The lane that sends next, if one may.
    pub(super) fn next_in_line(&self, peer: Peer) -> Option<u32> {
        let suspect = self.suspects.first_key_value().map(|(_, &slot)| slot);
        suspect
            .filter(|_| self.suspects_in_flight < self.suspects_at_once)
            .or_else(|| {
                let well = self.next_well();
                self.next_ill(peer, well.is_some()).or(well)
            })
    }

    fn next_well(&self) -> Option<u32> {
        let in_turn = self.well.next();
        let slow = self.requests_in_flight - self.recent_requests;
        let is_new_ones_turn =
            self.pace.is_open() || self.is_new_ones_turn && self.pace.is_mostly(slow);
        let new_one = self.well.newest().filter(|_| is_new_ones_turn);
        new_one.or(in_turn)
    }

    fn next_ill(&self, peer: Peer, others_wait: bool) -> Option<u32> {
        let may_send = self.ill_in_flight < (peer.window / 2).max(1)
            && self.pace.may_send_ill(self.ill_recent, others_wait);
        self.ill.next().filter(|_| may_send)
    }

    /// It is a lane's turn, and it sends.
    pub(super) fn spend_turn(&mut self, lane: &mut Lane<T>) {
        let (turns, turn) = match lane.turn {
            Some(Standing::InTurn(turn)) => (&mut self.well, turn),
            Some(Standing::Ill(turn)) => (&mut self.ill, turn),
            Some(Standing::Suspect(_)) | None => return,
        };
        lane.turn = None;
        lane.spent = Some(turns.spend(turn, lane.front_bytes()));
        if lane.health.is_well() {
            self.is_new_ones_turn = !self.is_new_ones_turn;
        }
    }

    /// Puts a lane where it belongs now.
    pub(super) fn set_turn(&mut self, slot: u32, lane: &mut Lane<T>) {
        let producer = lane.producer().filter(|_| lane.state == State::Ready);
        if let Some(standing) = lane.turn
            && (producer.is_none() || !stands_right(standing, lane))
        {
            self.leave_line(standing);
            lane.turn = None;
        }
        if let (None, Some(producer)) = (lane.turn, producer) {
            lane.turn = Some(self.enter_line(slot, lane, producer));
        }
    }

    fn enter_line(&mut self, slot: u32, lane: &Lane<T>, producer: Producer) -> Standing {
        if lane.is_suspect {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.suspects.insert(ticket, slot);
            return Standing::Suspect(ticket);
        }
        if lane.health.is_well() {
            Standing::InTurn(self.well.enter(slot, producer, lane.spent))
        } else {
            Standing::Ill(self.ill.enter(slot, producer, lane.spent))
        }
    }

    fn leave_line(&mut self, standing: Standing) {
        match standing {
            Standing::Suspect(ticket) => _ = self.suspects.remove(&ticket),
            Standing::InTurn(turn) => self.well.leave(turn),
            Standing::Ill(turn) => self.ill.leave(turn),
        }
    }
}

fn stands_right<T>(standing: Standing, lane: &Lane<T>) -> bool {
    match standing {
        Standing::Suspect(_) => lane.is_suspect,
        Standing::InTurn(_) => !lane.is_suspect && lane.health.is_well(),
        Standing::Ill(_) => !lane.is_suspect && !lane.health.is_well(),
    }
}
