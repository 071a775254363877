//! What becomes of requests tells something of their lane, and of the transport.
//!
//! A request that is not answered accuses the transport only if nothing sent
//! after it was answered, and if its lane was well before: else the lane is
//! alone in its trouble.
//!
//! Lanes of the outbox pause for long. What kept many of them back, the transport
//! or its connection to Ably, ends for all of them with the first success; and so
//! does, for [a few](super::hushed), what may have been everybody's trouble.

use std::time::Instant;

use super::Lanes;
use super::still::Quiet;
use crate::delivery::config::{Keeping, pause_left};
use crate::delivery::failure::Refusal;
use crate::delivery::health::{Health, Shared};
use crate::delivery::lane::Lane;
use crate::delivery::pace::Sign;

impl<T> Lanes<T> {
    /// The transport has carried out a request of this lane, with so many
    /// effects, or would have.
    pub(super) fn take_life(&mut self, lane: &mut Lane<T>, effects: usize) {
        lane.set_health(Health::Well);
        self.pace.handle_heard(lane.number);
        self.hear(effects);
    }

    /// Somebody is answered, whoever that is.
    pub(super) fn hear(&mut self, effects: usize) {
        self.quiet = Quiet::No;
        self.pace.handle_success(effects);
        self.hushed.end();
        let over = std::mem::replace(&mut self.shared, Shared::Nothing);
        self.over = self.over.max(over);
    }

    /// A request has met trouble, or silence.
    pub(super) fn take_trouble(&mut self, lane: &mut Lane<T>, health: Health, now: Instant) {
        let is_hushed = self.pace.has_not_heard_since(lane.number);
        if is_hushed && health == Health::Silent && self.was_waited_for(lane, now) {
            self.hushed.insert(&lane.key);
        }
        if is_hushed && lane.health.is_well() {
            let in_flight = self.requests_in_flight;
            self.pace.handle_sign(Sign::Trouble, in_flight, now);
        }
        lane.set_health(health);
        if self.pace.is_open() {
            self.shared = Shared::Transport;
        } else if health == Health::Offline {
            self.shared = self.shared.max(Shared::Upstream);
        }
        self.note_outage(now);
    }

    /// Whether so much of its patience is over that its request met silence, and not
    /// a refusal that says nothing: lanes that are refused at once would be tried
    /// again with each answer to others.
    fn was_waited_for(&self, lane: &Lane<T>, now: Instant) -> bool {
        let long = self.config.attempt_timeout / 2;
        let waited = lane.sent_at().is_some_and(|since| since + long <= now);
        waited && self.config.keeping == Keeping::Outbox
    }

    /// A request was refused.
    pub(super) fn take_refusal(&mut self, lane: &mut Lane<T>, refusal: &Refusal<'_>, now: Instant) {
        match refusal.sign(lane.sent_at()) {
            Some(Sign::Life) => self.take_life(lane, 0),
            Some(Sign::Trouble) => self.take_trouble(lane, Health::after(refusal), now),
            Some(sign @ Sign::TooMuch { .. }) => {
                lane.set_health(Health::Well);
                self.quiet = Quiet::No;
                self.pace.handle_sign(sign, self.requests_in_flight, now);
            }
            None if refusal.is_goodbye() => {}
            None => lane.set_health(Health::Well),
        }
    }

    /// What kept lanes back is over: they go on soon, not all at once, and as
    /// far as there are retries.
    pub(super) fn wake(&mut self, now: Instant) {
        let over = std::mem::replace(&mut self.over, Shared::Nothing);
        let hushed = self.hushed.take();
        if over != Shared::Nothing && self.config.keeping == Keeping::Outbox {
            self.update_all(|lanes, lane| lanes.wake_lane(lane, over, now));
        }
        // All of them are, if it was the transport.
        for lane in hushed.iter().filter(|_| over != Shared::Transport) {
            if let Some(&slot) = self.by_key.get(lane) {
                self.update(slot, |lanes, lane| {
                    lanes.wake_lane(lane, Shared::Transport, now);
                });
            }
        }
    }

    fn wake_lane(&mut self, lane: &mut Lane<T>, over: Shared, now: Instant) {
        if lane.health.may_end_with(over) {
            lane.wake(now + pause_left(self.next_jitter));
            self.next_jitter = self.next_jitter.wrapping_add(1);
        }
    }
}
