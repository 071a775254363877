//! Where lanes are kept, and everything that is known of them elsewhere: the
//! sums, the timers, which of them were silent.

use super::Lanes;
use super::still::Quiet;
use crate::delivery::config::Keeping;
use crate::delivery::lane::Lane;
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
        let health = self.silences.health_of(key);
        self.slots[slot as usize] = Some(Lane::new(key.clone(), health));
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
        // What keeps everything back costs no refusal.
        let is_waited_for = self.config.keeping == Keeping::Daemon && self.quiet != Quiet::Yes;
        if is_waited_for && lane.is_over(&self.config) {
            self.settled.extend(lane.refuse_beyond(&self.config));
        }
        let after = Load::of(&lane);
        if self.config.keeping == Keeping::Daemon {
            self.note_standing(&lane.key, before, after);
        }
        self.effects = self.effects - before.effects + after.effects;
        self.bytes = self.bytes - before.bytes + after.bytes;
        self.requests_in_flight = self.requests_in_flight - before.requests + after.requests;
        self.recent_requests = self.recent_requests - before.recent + after.recent;
        self.suspects_in_flight = self.suspects_in_flight - before.suspects + after.suspects;
        self.ill_in_flight = self.ill_in_flight - before.ill + after.ill;
        self.ill_recent = self.ill_recent - before.ill_recent + after.ill_recent;
        self.set_turn(slot, &mut lane);
        self.set_timer(slot, &mut lane);
        if lane.is_empty() {
            self.by_key.remove(&lane.key);
            self.silences.note(&lane.key, lane.health);
            if lane.is_full() && self.config.keeping == Keeping::Daemon {
                self.emptied.push_back(lane.key);
            }
            self.free.push(slot);
        } else {
            self.slots[slot as usize] = Some(lane);
        }
        result
    }

    /// Whoever counts what daemons are owed is told how a lane stands now.
    fn note_standing(&mut self, lane: &LaneKey, before: Load, after: Load) {
        if after.is_still != before.is_still {
            self.moved.push_back((lane.clone(), after.is_still));
        }
        if after.is_slow != before.is_slow {
            self.slowed.push_back((lane.clone(), after.is_slow));
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
#[derive(Debug, Clone, Copy)]
struct Load {
    effects: usize,
    bytes: usize,
    requests: usize,
    recent: usize,
    suspects: usize,
    ill: usize,
    ill_recent: usize,
    is_still: bool,
    is_slow: bool,
}

impl Load {
    fn of<T>(lane: &Lane<T>) -> Self {
        let is_out = lane.in_flight() > 0;
        let is_ill = is_out && !lane.health.is_well();
        Self {
            effects: lane.len(),
            bytes: lane.bytes(),
            requests: usize::from(is_out),
            recent: usize::from(is_out && lane.is_recent()),
            suspects: usize::from(is_out && lane.is_suspect),
            ill: usize::from(is_ill),
            ill_recent: usize::from(is_ill && lane.is_recent()),
            is_still: lane.stands_still(),
            is_slow: lane.is_slow(),
        }
    }
}
