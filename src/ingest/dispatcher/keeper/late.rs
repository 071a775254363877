//! What is kept, and was published by a request that was given up or taken apart.
//!
//! A dead letter that nobody requeued is none any more: requeued, it would be
//! published twice. What was taken back to the disk goes out no second time.
//!
//! Nor does a letter of which an operator wants something that is not on disk yet,
//! or which is requeued and still being read: it is done at once, and of what was
//! wanted nothing is left to do. In the journal this stands behind the wish, so it
//! holds whether the disk takes that or not.

use tracing::info;

use super::super::super::memo::Published;
use super::super::ways::Ways;
use super::Keeper;
use crate::clock::BootTime;
use crate::delivery::{Admission, Kept};
use crate::protocol::id::EffectId;

impl Keeper {
    /// These are published, whatever was decided since. Returns which of them are
    /// kept no more.
    pub(in super::super) fn handle_published_late<T>(
        &mut self,
        effects: &[EffectId],
        admission: &mut Admission<T>,
    ) -> Vec<Published> {
        let is_bound = self.takes_one_of(effects);
        let kept = effects.iter().filter_map(|id| self.outbox.kept(*id));
        let free: Vec<_> = kept.filter(|kept| kept.is_dead || !is_bound).collect();
        let published = free.iter();
        let published = published
            .filter_map(|kept| self.published_late(kept, admission))
            .collect();
        self.give_back();
        published
    }

    /// Whether one of these is on its way to the disk, because it came again: that goes
    /// its way, and those that may have to go with it, or the server would not know
    /// them. A dead letter goes with none.
    fn takes_one_of(&self, effects: &[EffectId]) -> bool {
        effects.iter().any(|id| self.outbox.is_recording(*id))
    }

    /// What is kept of these, and held back until the others come, is settled: those
    /// go out no more, and without them the server would not know it. Returns whether
    /// there was such.
    pub(in super::super) fn settle_held(&self, effects: &[EffectId], ways: &mut Ways) -> bool {
        // What is held back begins with the first of its batch.
        let first = effects.first().and_then(|id| self.outbox.place(*id));
        let first = first.filter(|(route, _)| ways.routes().contains(route));
        let first = first.filter(|_| !self.takes_one_of(effects));
        first.is_some_and(|(route, lane)| ways.kept(route).handle_published(&lane, effects))
    }

    fn published_late<T>(
        &mut self,
        &Kept { id, arrived_ms, .. }: &Kept,
        admission: &mut Admission<T>,
    ) -> Option<Published> {
        let parked = self.parked_place(id);
        self.take_back_unread(id);
        let done = self.outbox.handle_published_late(id)?;
        admission.handle_done_elsewhere(&done, BootTime::now());
        self.published += 1;
        self.batch.add_done(done.into());
        self.unwritten.remove(&id);
        if self.letters.remove(&id).is_some() {
            info!(effect_id = %id, "A dead letter was accepted late; it is published.");
        }
        self.tell_open(parked, "accepted late");
        Some(Published { id, arrived_ms })
    }
}
