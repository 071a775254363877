//! Whether a part is where it is to be, or will ever be.

use super::{Chain, Goal, PartId, START_ATTEMPTS, State};

/// What becomes of a part if nobody does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It is where it is to be; one that is no part any more is, too.
    There,
    /// It will soon be.
    UnderWay,
    /// Somebody stopped it, and it stays so.
    Stopped,
    /// It failed, for good or so often that it will hardly get there by itself.
    Failed,
}

impl Chain {
    /// What becomes of a part if nobody does anything.
    #[must_use]
    pub fn prospect(&self, id: PartId) -> Prospect {
        let Some(part) = self.part(id) else {
            return Prospect::There;
        };
        match part.state {
            _ if part.leaving.is_some() => Prospect::UnderWay,
            State::Starting { .. } | State::BackingOff { .. }
                if START_ATTEMPTS <= part.history.failures() =>
            {
                Prospect::Failed
            }
            State::Starting { .. } | State::Stopping { .. } | State::BackingOff { .. } => {
                Prospect::UnderWay
            }
            State::Ready { .. } | State::Finished => Prospect::There,
            State::Stopped => Prospect::Stopped,
            State::GaveUp | State::Stuck { .. } => Prospect::Failed,
            State::Waiting => self.prospect_of_waiting(id),
        }
    }

    /// What waits for a part that fails, or that was stopped, fails with it.
    fn prospect_of_waiting(&self, id: PartId) -> Prospect {
        let after = self.parts[&id].plan.after.iter();
        let mut missing = after
            .filter_map(|name| self.find(name))
            .filter(|on| !self.parts[on].answered);
        if missing.any(|on| self.prospect(on) != Prospect::UnderWay) {
            Prospect::Failed
        } else {
            Prospect::UnderWay
        }
    }

    /// Whether the chain is not up without it: so it says, or what comes after
    /// it is required.
    #[must_use]
    pub fn is_required(&self, id: PartId) -> bool {
        self.parts.get(&id).is_some_and(|part| part.plan.required)
            || self.followers(id).any(|after| self.is_required(after))
    }

    /// Whether the first start has come to its end though not every part is
    /// ready: all those that are required are, and nobody waits for the others
    /// any longer.
    pub(super) fn is_settled(&self) -> bool {
        let done = |id: &PartId| self.parts[id].is_well() || self.is_given_up(*id);
        self.goal == Goal::Up && self.order.iter().all(done)
    }

    /// Whether a start goes on without it. It goes on being tried.
    fn is_given_up(&self, id: PartId) -> bool {
        let part = &self.parts[&id];
        let failed = || matches!(self.prospect(id), Prospect::Failed | Prospect::Stopped);
        let waits_in_vain = || {
            let mut on = part.plan.after.iter().filter_map(|name| self.find(name));
            part.state == State::Waiting && on.any(|on| self.is_given_up(on))
        };
        !self.is_required(id) && (part.late || failed() || waits_in_vain())
    }

    /// Those who come right after a part.
    pub fn followers(&self, id: PartId) -> impl Iterator<Item = PartId> {
        let name = self.parts.get(&id).map(|part| &part.plan.name);
        let follows = move |after: &[std::sync::Arc<str>]| name.is_some_and(|n| after.contains(n));
        let parts = self.parts();
        parts.filter_map(move |(id, part)| follows(&part.plan.after).then_some(id))
    }
}
