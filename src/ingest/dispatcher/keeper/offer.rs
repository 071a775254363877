//! What arrives: kept, known, around the outbox, or nowhere.

use tokio::time::Instant;

use super::Keeper;
use super::batch::Fresh;
use super::hanging::UNSURE;
use crate::clock;
use crate::counted::counted;
use crate::delivery::{self, Admitted, Class, Done, Failure, Home, Known, Ticket};
use crate::journal::{self, Entry, Health, OnFailure, Sync, Unrecorded};

/// What became of an effect that was offered.
#[derive(Debug)]
pub(in super::super) enum Offer {
    /// It is on its way to the disk.
    Taken,
    /// It is there already.
    Kept(Ticket),
    /// Something else is there under its id.
    Conflict(Ticket),
    /// It is not kept, and may go the direct way.
    Direct(Admitted),
    /// It goes nowhere.
    Refused(Admitted, Failure),
}

impl Keeper {
    /// Takes an effect in, if it is to be kept. While others of its lane are
    /// still on the direct way, it follows them: kept, it could overtake them.
    pub(in super::super) fn offer(
        &mut self,
        admitted: Admitted,
        route: usize,
        follows: bool,
        answer_by: Instant,
    ) -> Offer {
        if !self.has_read() {
            return self.refuse_unread(admitted);
        }
        let effect = &admitted.effect;
        let done = Done {
            id: effect.id,
            known_by: delivery::known_by(effect),
            fingerprint: delivery::fingerprint(effect),
        };
        match self.outbox.look_up(&done) {
            Known::Kept if self.is_unproven() => self.refused(admitted, self.why_not()),
            Known::Kept => Offer::Kept(admitted.ticket),
            Known::Writing if self.is_unsure() => self.refused(admitted, UNSURE.to_owned()),
            Known::Conflict | Known::Writing => Offer::Conflict(admitted.ticket),
            Known::No => self.offer_new(admitted, route, &done, follows, answer_by),
        }
    }

    fn offer_new(
        &mut self,
        admitted: Admitted,
        route: usize,
        done: &Done,
        follows: bool,
        answer_by: Instant,
    ) -> Offer {
        if let Some(by) = self.waits_for(&admitted, route) {
            return Offer::Refused(admitted, Failure::parked(by));
        }
        if self.records() {
            if follows {
                return Offer::Direct(admitted);
            }
            self.take(admitted, route, done, answer_by);
            return Offer::Taken;
        }
        if self.outbox.is_writing(route, &admitted.effect.lane) {
            return self.refused(admitted, self.why_not());
        }
        let (is_full, why) = (self.is_full(), self.why_not());
        self.go_around(admitted, route, is_full, &why)
    }

    fn refused(&mut self, admitted: Admitted, why: String) -> Offer {
        self.unrecorded += 1;
        let failure = Failure::new(Class::Unrecorded, why);
        Offer::Refused(admitted, failure)
    }

    fn take(&mut self, admitted: Admitted, route: usize, done: &Done, answer_by: Instant) {
        let effect = &admitted.effect;
        let arrived_ms = clock::now_ms();
        let home = Home {
            route,
            lane: effect.lane.clone(),
            known_by: done.known_by,
            fingerprint: done.fingerprint,
            arrived_ms,
        };
        self.outbox.handle_offered(effect.id, home);
        let entry = Entry::Effect(journal::Effect {
            id: effect.id,
            lane: effect.lane.clone(),
            route: effect.route.clone(),
            key: effect.key.clone(),
            fingerprint: done.fingerprint,
            arrived_ms,
            operation: effect.operation.clone(),
        });
        self.batch.effects.push(entry);
        self.batch.fresh.push(Fresh {
            route,
            admitted,
            answer_by,
        });
    }

    /// Whether what is kept may be in memory only: a journal that cannot begin a
    /// segment has read it, and cannot make it durable.
    fn is_unproven(&mut self) -> bool {
        use Health::{Degraded, Full, Ok};
        let works = matches!(self.stage.health(), Some(Ok | Degraded { .. } | Full));
        self.is_unproven &= !works && self.config.journal.sync == Sync::Always;
        self.is_unproven
    }

    /// Whether it has all it may have, on disk or in memory.
    pub(super) fn is_full(&self) -> bool {
        self.has_all_effects() || matches!(self.stage.health(), Some(Health::Full))
    }

    pub(super) fn has_all_effects(&self) -> bool {
        self.config.effects_max <= self.outbox.len()
    }

    pub(super) fn why_not(&self) -> String {
        if self.is_unsure() {
            return self.why_hung().unwrap_or_else(|| UNSURE.to_owned());
        }
        match self.stage.health() {
            Some(Health::Bypass { why } | Health::Astray { why } | Health::Failed { why }) => {
                why.into()
            }
            Some(Health::Full) => Unrecorded::Full.to_string(),
            _ if self.config.records && self.has_all_effects() => {
                let effects = counted(self.outbox.len(), "effect");
                format!("the outbox is full: it keeps {effects}")
            }
            _ => "what an earlier run has left of its lane is published first".to_owned(),
        }
    }

    pub(super) fn not_recorded(
        &mut self,
        admitted: Admitted,
        route: usize,
        why: &Unrecorded,
    ) -> Offer {
        match why {
            Unrecorded::TooLarge { .. } => {
                let failure = Failure::new(Class::TooLarge, why.to_string());
                Offer::Refused(admitted, failure)
            }
            why => {
                let is_full = matches!(why, Unrecorded::Full);
                self.go_around(admitted, route, is_full, &why.to_string())
            }
        }
    }

    /// What cannot be kept goes the direct way, if that is allowed and nothing
    /// kept is before it in its lane. An outbox that is full does not fail: its
    /// daemons have to wait.
    fn go_around(&mut self, admitted: Admitted, route: usize, is_full: bool, why: &str) -> Offer {
        self.unrecorded += u64::from(self.config.records);
        let may_bypass = self.config.journal.on_failure == OnFailure::Bypass && !is_full;
        let may = !self.config.records || may_bypass;
        let lane = &admitted.effect.lane;
        if may && !self.outbox.holds(route, lane) && !self.is_parked(route, lane) {
            return Offer::Direct(admitted);
        }
        let class = if self.config.records {
            Class::Unrecorded
        } else {
            Class::Throttled
        };
        Offer::Refused(admitted, Failure::new(class, why))
    }
}
