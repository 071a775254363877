//! How long the effects of a lane have been waited for, and which of them too long.
//!
//! They stand in their order, and mostly the first of them is the oldest. It is not
//! if one behind it was held up on its way here, or if it comes again and goes before
//! others. Each has the time it has: what stands before an older one is not given up
//! with it, unless they are on their way together, or have to be.

use std::iter;
use std::time::{Duration, Instant};

use super::Lane;
use crate::delivery::effect::{Entry, Settled};
use crate::delivery::failure::{Class, Failure};

impl<T> Lane<T> {
    /// Since when the oldest is waited for.
    pub(in crate::delivery) fn oldest(&self) -> Option<Instant> {
        let first = self.queue.front().map(|entry| entry.arrived);
        first.into_iter().chain(self.oldest_behind).min()
    }

    /// The same of those that go out next.
    pub(in crate::delivery) fn oldest_next(&self) -> Option<Instant> {
        if self.oldest_behind.is_none() {
            return self.oldest();
        }
        let next = self.queue.iter().take(self.front.max(1));
        next.map(|entry| entry.arrived).min()
    }

    /// The first effect, from what may be given up alone, that came `time` or more
    /// before `now`; nothing if that is the head.
    pub(in crate::delivery) fn late_behind(&self, time: Duration, now: Instant) -> Option<usize> {
        self.oldest_behind?;
        let mut places = self.queue.iter();
        let late = places.position(|entry| entry.arrived + time <= now)?;
        let batch = self.queue[late].batch;
        let is_with_it = |entry: &Entry<T>| batch.is_some() && entry.batch == batch;
        let at = self.queue.iter().position(is_with_it).unwrap_or(late);
        (self.front.max(1) <= at).then_some(at)
    }

    /// Gives up an effect behind the front, and all behind it because of that.
    pub(in crate::delivery) fn give_up_from(
        &mut self,
        at: usize,
        unsent: &str,
    ) -> impl Iterator<Item = Settled<T>> + use<T> {
        let text = format!("publish failed after retries: {unsent}");
        let late = Failure::new(Class::Throttled, text);
        let failures = iter::once(late).chain(iter::repeat(Failure::behind()));
        let taken = self.cut(at).into_iter().zip(failures);
        taken.map(|(entry, failure)| entry.settle(Err(failure)))
    }

    /// An effect that arrived then comes to stand here.
    pub(super) fn note_arrival(&mut self, at: usize, arrived: Instant) {
        let before = at.checked_sub(1).and_then(|at| self.queue.get(at));
        let is_held_up = before.is_some_and(|before| arrived < before.arrived);
        let next = self.queue.get(at).map(|next| next.arrived);
        let older = next.filter(|next| *next < arrived);
        let found = is_held_up.then_some(arrived).into_iter().chain(older);
        self.oldest_behind = found.chain(self.oldest_behind).min();
    }

    /// These of the head leave.
    pub(super) fn note_leaving(&mut self, head: usize) {
        let Some(oldest) = self.oldest_behind else {
            return;
        };
        let mut leaving = self.queue.range(..head);
        if leaving.any(|entry| entry.arrived <= oldest) {
            self.look_behind(head);
        }
    }

    /// Looks whether any from here on is older than one before it.
    pub(super) fn look_behind(&mut self, from: usize) {
        if self.oldest_behind.is_none() {
            return;
        }
        let arrived = self.queue.range(from..).map(|entry| entry.arrived);
        let is_sorted = arrived.clone().is_sorted();
        self.oldest_behind = arrived.min().filter(|_| !is_sorted);
    }
}
