//! How the effects of a lane come to their ends: accepted, refused, given up.

use std::collections::VecDeque;

use super::{Lane, State};
use crate::counted::counted;
use crate::delivery::config::Config;
use crate::delivery::effect::{Entry, Producer, Settled};
use crate::delivery::failure::{Class, Failure};
use crate::delivery::owed::Amount;
use crate::protocol::envelope::Operation;
use crate::protocol::id::EffectId;

impl<T> Lane<T> {
    /// The front has been accepted.
    pub(in crate::delivery) fn accept(&mut self) -> impl Iterator<Item = Settled<T>> + '_ {
        self.take_front().map(|entry| entry.settle(Ok(())))
    }

    /// These were published by a request that was given up or taken apart. Those of
    /// them that are here are settled; but for those that have to go out together
    /// with others, or again with them: a server would not know these.
    pub(in crate::delivery) fn accept_known(&mut self, published: &[EffectId]) -> Vec<Settled<T>> {
        let is_known = |entry: &Entry<T>| published.contains(&entry.effect.id);
        let mut accepted = Vec::new();
        if 0 < self.front && self.queue.range(..self.front).all(is_known) {
            accepted.extend(self.accept());
        }
        let others = self.queue.iter().filter(|entry| !is_known(entry));
        let bound: Vec<_> = others.filter_map(|entry| entry.batch).collect();
        let is_free = |entry: &Entry<T>| entry.batch.is_none_or(|batch| !bound.contains(&batch));
        let mut at = self.front;
        while let Some(entry) = self.queue.get(at) {
            if is_known(entry) && is_free(entry) {
                accepted.extend(self.take_out(at).map(|entry| entry.settle(Ok(()))));
            } else {
                at += 1;
            }
        }
        accepted
    }

    /// Takes out one that is not of the front.
    fn take_out(&mut self, at: usize) -> Option<Entry<T>> {
        let entry = self.queue.remove(at)?;
        self.bytes -= entry.bytes();
        self.alone -= usize::from(at < self.alone);
        self.look_behind(0);
        if at == 0 {
            // It was what the lane paused for.
            self.state = State::Ready;
        }
        Some(entry)
    }

    /// What the daemon is told when the transport refuses the front for good.
    pub(in crate::delivery) fn rejection(&self, class: Class, error: &str) -> Failure {
        let operation = self.queue.front().map(|entry| &entry.effect.operation);
        let what = match operation {
            Some(Operation::ObjectSet { .. }) => "object set",
            Some(Operation::Publish { .. }) | None => "publish",
        };
        Failure::new(class, format!("{what} rejected: {error}"))
    }

    /// The front has been refused for good. If it is several effects, none of
    /// them is settled: they go out again, each alone, to find the culprit.
    pub(in crate::delivery) fn reject(&mut self, failure: Failure) -> Option<Settled<T>> {
        if self.front > 1 {
            self.alone = self.front;
            self.state = State::Ready;
            self.is_suspect = false;
            self.thaw();
            return None;
        }
        let attempts = self.attempts + 1;
        let entry = self.take_front().next()?;
        Some(entry.settle_after(attempts, Err(failure)))
    }

    /// Sending the front has failed; returns how many attempts it has had by
    /// now, this one included if it `counts`.
    pub(in crate::delivery) fn fail(&mut self, failure: Failure, counts: bool) -> u32 {
        self.state = State::Ready;
        if failure.class == Class::Ambiguous {
            self.doubt();
        }
        self.last_failure = Some(failure);
        self.failures = self.failures.saturating_add(1);
        self.attempts += u32::from(counts);
        self.attempts
    }

    /// The front fails as `failure` says, all behind it because of that.
    pub(in crate::delivery) fn flush(
        &mut self,
        failure: Failure,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        self.settle_both(self.front.max(1), failure, Failure::behind())
    }

    /// Gives up the front and nothing else. Several effects go out again, each
    /// alone and with attempts of its own: one of them may be to blame.
    pub(in crate::delivery) fn give_up_front(&mut self) -> Option<Settled<T>> {
        let attempts = self.attempts;
        let reason = self.reason("it was never sent");
        let text = format!(
            "publish failed after {}: {}",
            counted(attempts, "attempt"),
            reason.text
        );
        let failure = Failure::new(reason.class, text).with_code(reason.code);
        let settled = self.reject(failure)?;
        Some(Settled {
            attempts,
            ..settled
        })
    }

    /// The front is gone as `settled`, for good; everything behind it waits for
    /// what becomes of it, and not here.
    pub(in crate::delivery) fn park(
        &mut self,
        settled: Settled<T>,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        let behind = self.settle_all(Failure::parked(settled.id));
        let front = Settled {
            parks: true,
            ..settled
        };
        std::iter::once(front).chain(behind)
    }

    /// Whether the front is taken apart if this effect is taken out.
    pub(in crate::delivery) fn may_lose(&self, id: EffectId) -> bool {
        let mut front = self.queue.range(..self.front);
        self.in_flight() == 0 && front.any(|entry| entry.effect.id == id)
    }

    /// Takes out an effect that is not on its way right now, and all behind it;
    /// those it was to leave with may leave in another company.
    pub(in crate::delivery) fn withdraw_from(&mut self, id: EffectId) -> VecDeque<Entry<T>> {
        let mut places = self.queue.iter();
        let at = places.position(|entry| entry.effect.id == id);
        let Some(at) = at.filter(|at| self.in_flight() <= *at) else {
            return VecDeque::new();
        };
        if at < self.front {
            self.thaw();
        }
        self.cut(at)
    }

    /// Takes out all from here on.
    pub(super) fn cut(&mut self, at: usize) -> VecDeque<Entry<T>> {
        self.alone = self.alone.min(at);
        let taken = self.queue.split_off(at);
        self.bytes -= taken.iter().map(Entry::bytes).sum::<usize>();
        self.look_behind(0);
        taken
    }

    /// Whether it stands still, and holds more than such a lane may.
    pub(in crate::delivery) fn is_over(&self, config: &Config) -> bool {
        let is_long = config.lane_effects_max < self.queue.len();
        (is_long || config.lane_bytes_max < self.bytes) && self.stands_still()
    }

    /// Refuses what it holds beyond what a lane may that stands still, the latest of
    /// it, as if that had just come. What may be published stays.
    pub(in crate::delivery) fn refuse_beyond(
        &mut self,
        config: &Config,
    ) -> impl Iterator<Item = Settled<T>> + use<T> {
        let mut bytes = 0;
        let mut entries = self.queue.iter();
        let fit = entries.position(|entry| {
            bytes += entry.bytes();
            bytes > config.lane_bytes_max
        });
        let fit = fit.unwrap_or(self.queue.len());
        let kept = fit.min(config.lane_effects_max).max(self.sent());
        self.refuse_from(kept, Failure::lane_full(kept))
    }

    /// Refuses so much of what it holds of one connection, or all but the first, the
    /// latest of it, as if that had just come. What is of another stays, and so does
    /// what may be published; and all before it.
    pub(in crate::delivery) fn refuse_latest(
        &mut self,
        whose: Producer,
        surplus: Amount,
    ) -> impl Iterator<Item = Settled<T>> + use<T> {
        let mut refused = Amount::default();
        let may_go = self.queue.range(self.sent().max(1)..);
        let goes = may_go.rev().take_while(|entry| {
            let goes = entry.place.producer == whose && !surplus.fits(refused);
            refused += Amount::one(entry.bytes());
            goes
        });
        let kept = self.queue.len() - goes.count();
        self.refuse_from(kept, Failure::still_full())
    }

    /// How many at the head are on their way, or may be published.
    fn sent(&self) -> usize {
        let may_be = |entry: &Entry<T>| entry.is_doubtful || entry.batch.is_some();
        let sent = self.queue.iter().rposition(may_be);
        sent.map_or(0, |at| at + 1).max(self.front)
    }

    /// Refuses all from here on, and lets no more in.
    fn refuse_from(
        &mut self,
        kept: usize,
        failure: Failure,
    ) -> impl Iterator<Item = Settled<T>> + use<T> {
        let beyond = self.cut(kept);
        self.full |= !beyond.is_empty();
        let beyond = beyond.into_iter();
        beyond.map(move |entry| entry.settle(Err(failure.clone())))
    }

    /// Gives up: the front fails for the reason it failed last, or for `unsent`
    /// if it was never sent; all behind it because of that.
    pub(in crate::delivery) fn give_up(
        &mut self,
        unsent: &str,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        let reason = self.reason(unsent);
        let text = format!("publish failed after retries: {}", reason.text);
        self.flush(Failure::new(reason.class, text).with_code(reason.code))
    }

    /// Why the front is not published yet, as far as one knows.
    fn reason(&mut self, unsent: &str) -> Failure {
        let known = self.last_failure.take();
        if let State::InFlight { .. } = self.state {
            self.doubt();
            return Failure::new(Class::Ambiguous, "no answer from the transport in time");
        }
        known.unwrap_or_else(|| Failure::new(Class::Throttled, unsent))
    }

    /// Fails what is not on its way, because Falco stops.
    pub(in crate::delivery) fn refuse_waiting(
        &mut self,
    ) -> impl Iterator<Item = Settled<T>> + use<T> {
        let waiting = self.cut(self.in_flight());
        let failure = Failure::new(Class::ShuttingDown, "Falco is stopping");
        let waiting = waiting.into_iter();
        waiting.map(move |entry| entry.settle(Err(failure.clone())))
    }

    /// Fails everything.
    pub(in crate::delivery) fn settle_all(
        &mut self,
        failure: Failure,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        self.settle_both(0, failure.clone(), failure)
    }

    /// Fails everything: the first `front` as `first` says, the others as
    /// `behind` does.
    fn settle_both(
        &mut self,
        front: usize,
        first: Failure,
        behind: Failure,
    ) -> impl Iterator<Item = Settled<T>> + '_ {
        self.bytes = 0;
        self.oldest_behind = None;
        self.thaw();
        self.queue.drain(..).enumerate().map(move |(at, entry)| {
            let failure = if at < front { &first } else { &behind };
            entry.settle(Err(failure.clone()))
        })
    }
}
