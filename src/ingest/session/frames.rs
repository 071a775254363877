//! From frames to effects, and from what was decided to acks.

use tracing::{debug, warn};

use super::super::dispatcher::{Ack, Refused, Submission};
use super::Session;
use crate::delivery::{Class, Failure};
use crate::failpoint::{self, Point};
use crate::protocol::envelope::{self, RouteError};
use crate::protocol::frame::{Decoded, FLAG_ORDERED, FrameError};
use crate::protocol::id::EffectId;

impl Session {
    /// Cuts what was read into frames, for as long as the daemon is owed little;
    /// not while effects wait for room, whose time has begun before.
    pub(super) fn decode(&mut self) {
        if !self.routed.is_empty() {
            return;
        }
        while self.may_decode() {
            match self.intake.next_frame() {
                Ok(Some(decoded)) => self.take(decoded),
                Ok(None) => return,
                Err(error) => self.cannot_frame(&error),
            }
        }
    }

    /// Reads no more; whose frame it was is answered if that is known.
    fn cannot_frame(&mut self, error: &FrameError) {
        warn!(session = self.id.0, %error, "Daemon sent what is no frame; its connection ends.");
        if let FrameError::TooLong { id, .. } = error {
            self.refuse(*id, Failure::new(Class::TooLarge, error.to_string()));
        }
        self.is_unframed = true;
        self.intake.stop();
    }

    fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Frame { code, id, body } => {
                match envelope::route(id, &body, &self.shared.routing) {
                    Ok(mut effect) => {
                        effect.is_ordered = code & FLAG_ORDERED != 0;
                        self.debts.add(effect.bytes);
                        self.routed.push(effect);
                    }
                    Err(error) => self.refuse(id, refusal(&error)),
                }
            }
            Decoded::Mismatch {
                id,
                body_len,
                expected,
            } => {
                let text = format!("payload_len is {body_len}, the frame holds {expected} bytes");
                self.refuse(id, Failure::new(Class::Rejected, text));
            }
            Decoded::TooLarge { id, total_len } => {
                let text = format!("frame of {total_len} bytes is over the limit");
                self.refuse(id, Failure::new(Class::TooLarge, text));
            }
        }
    }

    /// Answers an effect that goes no further.
    fn refuse(&mut self, id: EffectId, failure: Failure) {
        debug!(session = self.id.0, effect_id = %id, error = %failure, "Effect refused.");
        let count = 1 + self.refused.take().map_or(0, |refused| refused.count);
        self.refused = Some(Refused {
            count,
            last: failure.clone(),
        });
        self.outgo.ack(id, &Err(failure));
    }

    pub(super) fn have_decided(&mut self, acks: &[Ack]) {
        for ack in acks {
            self.debts.settle(ack.bytes);
            self.outgo.ack(ack.id, &ack.outcome);
        }
    }

    /// Hands over what was routed, if the dispatcher takes it right away.
    pub(super) fn submit_now(&mut self) {
        if let Some(refused) = self.refused.take() {
            match self.shared.submit.try_reserve() {
                Ok(permit) => permit.send(Submission::Refused(refused)),
                Err(_) => self.refused = Some(refused),
            }
        }
        if self.routed.is_empty() {
            return;
        }
        if let Ok(permit) = self.shared.submit.try_reserve() {
            permit.send(Submission::Effects(self.id, self.routed.take()));
            failpoint::reach(Point::EffectsTaken);
        }
    }

    /// What the dispatcher does not take any more fails here.
    pub(super) fn refuse_routed(&mut self) {
        let failure = Failure::new(Class::ShuttingDown, "Falco is stopping");
        for effect in self.routed.take().effects {
            self.debts.settle(effect.bytes);
            self.outgo.ack(effect.id, &Err(failure.clone()));
        }
    }

    /// Nobody will answer any more. What the dispatcher took without answering
    /// ends with the connection.
    pub(super) fn dispatcher_gone(&mut self) {
        self.is_orphan = true;
        self.intake.stop();
        self.refuse_routed();
        self.debts.write_off();
        self.outgo.hurry();
    }
}

fn refusal(error: &RouteError) -> Failure {
    let class = match error {
        RouteError::TooLarge { .. } => Class::TooLarge,
        _ => Class::Rejected,
    };
    Failure::new(class, error.to_string())
}
