//! Where lanes are kept, and everything that is known of them elsewhere: the
//! sums, the line of those that are ready, the timers.

use super::Lanes;
use crate::delivery::lane::{Lane, Standing, State};
use crate::protocol::id::LaneKey;

impl<T> Lanes<T> {
    pub(super) fn slot_for(&mut self, key: &LaneKey) -> u32 {
        if let Some(&slot) = self.by_key.get(key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("effects_max bounds the lanes")
        });
        self.by_key.insert(key.clone(), slot);
        self.slots[slot as usize] = Some(Lane::new(key.clone()));
        slot
    }

    pub(super) fn update_all(&mut self, change: impl Fn(&mut Self, &mut Lane<T>)) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_some() {
                let slot = u32::try_from(slot).expect("slots are u32");
                self.update(slot, &change);
            }
        }
    }

    /// Changes one lane and brings everything that is known of it elsewhere in
    /// line with it: the sums, its turn, its timer. The only way to change one.
    pub(super) fn update<R>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Self, &mut Lane<T>) -> R,
    ) -> R {
        let lane = self.slots[slot as usize].take();
        let mut lane = lane.expect("callers name slots that hold a lane");
        let before = Load::of(&lane);
        let result = change(self, &mut lane);
        if self.shutting_down {
            self.settled.extend(lane.refuse_waiting());
        }
        let after = Load::of(&lane);
        self.effects = self.effects - before.effects + after.effects;
        self.bytes = self.bytes - before.bytes + after.bytes;
        self.requests_in_flight = self.requests_in_flight - before.requests + after.requests;
        self.recent_requests = self.recent_requests - before.recent + after.recent;
        self.suspects_in_flight = self.suspects_in_flight - before.suspects + after.suspects;
        self.set_turn(slot, &mut lane);
        self.set_timer(slot, &mut lane);
        if lane.is_empty() {
            self.by_key.remove(&lane.key);
            self.free.push(slot);
        } else {
            self.slots[slot as usize] = Some(lane);
        }
        result
    }

    fn set_turn(&mut self, slot: u32, lane: &mut Lane<T>) {
        let producer = lane.producer().filter(|_| lane.state == State::Ready);
        match (lane.turn, producer) {
            (None, Some(_)) if lane.is_suspect => {
                self.suspects.insert(self.next_ticket, slot);
                lane.turn = Some(Standing::Suspect(self.next_ticket));
                self.next_ticket += 1;
            }
            (None, Some(producer)) => {
                let turn = self.turns.enter(slot, producer, lane.spent);
                lane.turn = Some(Standing::InTurn(turn));
            }
            (Some(standing), None) => {
                self.leave_line(standing);
                lane.turn = None;
            }
            // It was cleared while it waited.
            (Some(Standing::Suspect(_)), Some(_)) if !lane.is_suspect => {
                self.leave_line(lane.turn.take().expect("it has one"));
                self.set_turn(slot, lane);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn leave_line(&mut self, standing: Standing) {
        match standing {
            Standing::Suspect(ticket) => _ = self.suspects.remove(&ticket),
            Standing::InTurn(turn) => self.turns.leave(turn),
        }
    }

    fn set_timer(&mut self, slot: u32, lane: &mut Lane<T>) {
        let due = lane.due(&self.config);
        if due == lane.timer {
            return;
        }
        if let Some(timer) = lane.timer {
            self.timers.remove(&(timer, slot));
        }
        if let Some(due) = due {
            self.timers.insert((due, slot));
        }
        lane.timer = due;
    }
}

/// What one lane adds to the sums.
struct Load {
    effects: usize,
    bytes: usize,
    requests: usize,
    recent: usize,
    suspects: usize,
}

impl Load {
    fn of<T>(lane: &Lane<T>) -> Self {
        Self {
            effects: lane.len(),
            bytes: lane.bytes(),
            requests: usize::from(lane.in_flight() > 0),
            recent: usize::from(lane.in_flight() > 0 && lane.is_recent()),
            suspects: usize::from(lane.in_flight() > 0 && lane.is_suspect),
        }
    }
}
