//! What becomes of requests: accepted, refused, not answered in time.

use std::time::Instant;

use super::Lanes;
use crate::delivery::config::{Keeping, OnRejected, pause_left};
use crate::delivery::effect::Settled;
use crate::delivery::failure::{Class, Failure, Refusal};
use crate::delivery::health::Health;
use crate::delivery::lane::{Lane, State};
use crate::delivery::request::RequestId;

impl<T> Lanes<T> {
    /// The transport has accepted a request.
    ///
    /// It may be late: whatever was decided since, what is accepted need not be
    /// sent again.
    pub(crate) fn handle_accepted(&mut self, id: RequestId) {
        if !self.knows(id) {
            return self.take_stray(id, true);
        }
        self.update(id.slot, |lanes, lane| {
            if !lane.awaits(id.attempt) {
                lanes.take_late(lane);
            }
            let before = lanes.settled.len();
            lanes.settled.extend(lane.accept());
            lanes.take_life(lane, lanes.settled.len() - before);
        });
    }

    /// The transport has refused a request, or could not carry it out.
    ///
    /// Late, it means nothing: the attempt was given up already.
    pub(crate) fn handle_refused(&mut self, id: RequestId, refusal: &Refusal<'_>, now: Instant) {
        if !self.knows(id) {
            return self.take_stray(id, false);
        }
        self.update(id.slot, |lanes, lane| {
            if !lane.awaits(id.attempt) {
                return lanes.take_late(lane);
            }
            lane.is_suspect = false;
            lanes.take_refusal(lane, refusal, now);
            if refusal.is_goodbye() {
                lane.postpone(refusal.error, now + lanes.config.retry.base);
                return;
            }
            let code = refusal.code();
            match refusal.class() {
                class if class.is_final() => {
                    let failure = lane.rejection(class, refusal.error).with_code(code);
                    lanes.reject(lane, failure);
                }
                class => {
                    let failure = Failure::new(class, refusal.error).with_code(code);
                    let is_too_much = refusal.is_limit() && lane.is_batch();
                    let was_refused = refusal.is_from_ably() || is_too_much;
                    lanes.attempt_failed(lane, failure, was_refused, now);
                }
            }
        });
    }

    /// A request is longer than what the transport reads; it was not sent.
    pub(crate) fn handle_too_large(&mut self, id: RequestId, bytes: usize, bytes_max: usize) {
        let text = format!("a request of {bytes} bytes is over the transport's {bytes_max}");
        self.update(id.slot, |lanes, lane| {
            lanes.reject(lane, Failure::new(Class::TooLarge, text));
        });
    }

    /// What waits behind an effect that fails for good goes on, or its lane is
    /// parked. It does not go on if an earlier attempt may have been published,
    /// because then the effect may come again.
    pub(super) fn reject(&mut self, lane: &mut Lane<T>, failure: Failure) {
        self.forsake_doubtful(lane);
        // Its latest sending was answered, or never left.
        self.remember_unanswered(lane, lane.unheard);
        let skips = self.config.on_rejected == OnRejected::Skip;
        if skips && lane.is_doubtful() && self.config.keeping == Keeping::Daemon {
            self.settled.extend(lane.flush(failure));
        } else {
            let settled = lane.reject(failure);
            self.end_front(lane, settled);
        }
    }

    /// What ends alone and may have been published goes out alone if it comes
    /// again: a server does not know it in a batch. A batch does not end; it is
    /// taken apart.
    fn forsake_doubtful(&mut self, lane: &Lane<T>) {
        if lane.is_doubtful() {
            self.forsaken.extend(lane.doubtful_list());
        }
    }

    /// The front is gone for good, unless it is taken apart first.
    fn end_front(&mut self, lane: &mut Lane<T>, settled: Option<Settled<T>>) {
        match (settled, self.config.on_rejected) {
            (None, _) => {}
            (Some(settled), OnRejected::Skip) => self.settled.push_back(settled),
            (Some(settled), OnRejected::Park) => self.settled.extend(lane.park(settled)),
        }
    }

    pub(super) fn lane_timeout(&mut self, lane: &mut Lane<T>, now: Instant) {
        let deadline = lane
            .oldest()
            .map(|oldest| oldest + self.config.effect_deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.give_up_late(lane, now);
            return;
        }
        match lane.state {
            State::InFlight { answer_by, .. } if answer_by <= now => {
                let text = format!("no answer within {:?}", self.config.attempt_timeout);
                let failure = Failure::new(Class::Ambiguous, text);
                lane.unheard += 1;
                self.take_trouble(lane, Health::Silent, now);
                self.attempt_failed(lane, failure, false, now);
            }
            State::InFlight { since, .. } if lane.is_recent() => {
                if since + self.config.slow_after <= now {
                    lane.slow_down(now, self.pace.latest());
                }
            }
            State::InFlight { .. } => {
                if !lane.is_fresh(now, &self.config) {
                    // The connection has survived it for so long: it is not the culprit.
                    lane.is_suspect = false;
                }
                if let Some(last) = lane.slow_since(now, &self.config) {
                    self.take_stillness(lane, last, now);
                }
            }
            State::BackingOff { retry_at } if retry_at <= now => {
                if lane.failures == 0 || self.pace.try_retry(now) {
                    lane.state = State::Ready;
                } else {
                    lane.back_off(now + self.config.slow_after);
                }
            }
            State::BackingOff { .. } | State::Ready => {}
        }
    }

    /// An attempt has failed; `was_refused` if Ably itself said so, or said that
    /// several at once are too much: they are taken apart then, and none ends.
    pub(super) fn attempt_failed(
        &mut self,
        lane: &mut Lane<T>,
        failure: Failure,
        was_refused: bool,
        now: Instant,
    ) {
        let is_kept = self.config.keeping == Keeping::Outbox;
        let counts = was_refused || !is_kept;
        if lane.fail(failure, counts) < self.config.attempts_max {
            let pause = if lane.is_woken && lane.health == Health::Silent {
                pause_left(self.next_jitter)
            } else {
                self.config.pause(lane.failures, self.next_jitter)
            };
            lane.back_off(now + pause);
            self.next_jitter = self.next_jitter.wrapping_add(1);
        } else {
            self.give_up(lane);
        }
    }

    pub(super) fn give_up(&mut self, lane: &mut Lane<T>) {
        let is_out = 0 < lane.in_flight();
        self.remember_unanswered(lane, lane.unheard + u32::from(is_out));
        if self.config.keeping == Keeping::Outbox {
            self.forsake_doubtful(lane);
            let settled = lane.give_up_front();
            return self.end_front(lane, settled);
        }
        let unsent = self.unsent();
        self.forsaken.extend(lane.doubtful_list());
        self.settled.extend(lane.give_up(unsent));
    }

    /// The time of an effect is over: what stands before it goes on, unless it is on
    /// its way together with it.
    fn give_up_late(&mut self, lane: &mut Lane<T>, now: Instant) {
        let Some(at) = lane.late_behind(self.config.effect_deadline, now) else {
            return self.give_up(lane);
        };
        let unsent = self.unsent();
        self.settled.extend(lane.give_up_from(at, unsent));
    }

    /// Why an effect was not sent in time, if it never was.
    fn unsent(&self) -> &'static str {
        match self.peer {
            Some(_) => "its turn did not come in time",
            None => "transport not available in time",
        }
    }

    /// Whether the request belongs to what its lane has in front now.
    fn knows(&self, id: RequestId) -> bool {
        let lane = self.slots.get(id.slot as usize).and_then(Option::as_ref);
        lane.is_some_and(|lane| {
            lane.generation == id.generation && (1..=lane.sent).contains(&id.attempt)
        })
    }
}
