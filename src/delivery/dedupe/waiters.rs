//! Who waits for what is open.

use super::{Dedupe, Producer, Ticket};
use crate::protocol::id::EffectId;

/// Everybody who submitted one effect.
#[derive(Debug)]
pub(in crate::delivery) struct Waiters<T> {
    /// The place of an attempt that failed before this one, and whose that was.
    pub(super) failed_at: Option<(u64, Producer)>,
    pub(super) first: (EffectId, T),
    /// Mostly empty, and then without memory of its own.
    pub(super) joined: Vec<(EffectId, T)>,
}

impl<T> Waiters<T> {
    /// In the order they came, each with the id it gave.
    pub(in crate::delivery) fn into_iter(self) -> impl Iterator<Item = (EffectId, T)> {
        std::iter::once(self.first).chain(self.joined)
    }
}

impl<T> Dedupe<T> {
    /// Submissions that wait for an outcome.
    pub(in crate::delivery) fn waiting(&self) -> usize {
        self.waiters.len() + self.joined
    }

    /// The first that waits for an open effect.
    pub(in crate::delivery) fn first(&self, ticket: Ticket) -> &T {
        &self.waiters[ticket.waiters].first.1
    }

    /// The place of an attempt that failed, if an open effect has one.
    pub(in crate::delivery) fn place(&self, ticket: Ticket) -> Option<u64> {
        let failed_at = self.waiters[ticket.waiters].failed_at;
        failed_at.map(|(arrival, _)| arrival)
    }

    /// One more waits for an effect that is open.
    pub(in crate::delivery) fn join(&mut self, ticket: Ticket, id: EffectId, origin: T) {
        self.waiters[ticket.waiters].joined.push((id, origin));
        self.joined += 1;
    }

    /// Takes off those who wait no longer, wherever another waits for the same;
    /// whoever is alone stays, for the effect is open.
    pub(in crate::delivery) fn retain_waiters(
        &mut self,
        mut waits: impl FnMut(&mut T) -> bool,
    ) -> Vec<T> {
        let mut left = Vec::new();
        for (_, Waiters { first, joined, .. }) in &mut self.waiters {
            let before = joined.len();
            left.extend(joined.extract_if(.., |(_, origin)| !waits(origin)));
            if !waits(&mut first.1) && !joined.is_empty() {
                let next = joined.remove(0);
                left.push(std::mem::replace(first, next));
            }
            if joined.len() < before {
                joined.shrink_to_fit();
            }
            self.joined -= before - joined.len();
        }
        left.into_iter().map(|(_, origin)| origin).collect()
    }

    /// Everybody who waits for an effect, and does so no longer.
    pub(in crate::delivery) fn leave(&mut self, ticket: Ticket) -> Waiters<T> {
        let waiters = self.waiters.remove(ticket.waiters);
        self.joined -= waiters.joined.len();
        waiters
    }
}
