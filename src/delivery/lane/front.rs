//! What of a lane is on its way, or was, and stays together until it is answered.

use std::time::Instant;

use uuid::Uuid;

use super::{Lane, State, Stuck, Wait};
use crate::delivery::config::Config;
use crate::delivery::effect::{BatchNumber, Effect, Entry};
use crate::delivery::health::Health;
use crate::delivery::recall::listed;
use crate::protocol::envelope::Operation;

impl<T> Lane<T> {
    /// Whether its request went out so recently that it may have cost the
    /// connection.
    pub(in crate::delivery) fn is_fresh(&self, now: Instant, config: &Config) -> bool {
        matches!(self.state, State::InFlight { since, .. } if now < since + config.suspicion)
    }

    /// Puts the front on its way; what it consists of is decided the first
    /// time. Returns whether it was on its way before.
    pub(in crate::delivery) fn send(
        &mut self,
        batches: bool,
        (since, answer_by): (Instant, Instant),
        config: &Config,
    ) -> bool {
        let again = self.front > 0;
        if !again {
            self.front = match (batches, self.alone) {
                (true, 0) => self.batch_len(config),
                _ => 1,
            };
            self.failures = 0;
            self.attempts = 0;
            self.last_failure = None;
            self.tried = None;
        }
        let (first, times) = self.tried.unwrap_or((since, 0));
        self.tried = Some((first, times.saturating_add(1)));
        self.sent += 1;
        self.is_woken = false;
        self.sent_up_to = self
            .sent_up_to
            .max(self.queue[self.front - 1].place.arrival);
        self.state = State::InFlight {
            since,
            answer_by,
            wait: Wait::Recent,
        };
        again
    }

    /// Whether its request counts against what the transport gets at once.
    pub(in crate::delivery) fn is_recent(&self) -> bool {
        matches!(
            self.state,
            State::InFlight {
                wait: Wait::Recent,
                ..
            }
        )
    }

    /// Whether its request is out for so long that it may stand still; nobody can
    /// say yet.
    pub(in crate::delivery) fn is_slow(&self) -> bool {
        self.in_flight() > 0 && !self.is_recent()
    }

    /// Its request takes no room from others any more; `last` is the number of
    /// the latest there is.
    pub(in crate::delivery) fn slow_down(&mut self, now: Instant, last: u64) {
        if let State::InFlight { wait, .. } = &mut self.state {
            *wait = Wait::Slow { seen: now, last };
        }
    }

    /// If its request has been slow for long: the number of the latest there was
    /// when that was found out.
    pub(in crate::delivery) fn slow_since(&self, now: Instant, config: &Config) -> Option<u64> {
        match self.state {
            State::InFlight {
                wait: Wait::Slow { seen, last },
                ..
            } if seen + config.still_after <= now => Some(last),
            _ => None,
        }
    }

    /// Nobody should wait for its request any more.
    pub(in crate::delivery) fn grow_still(&mut self) {
        if let State::InFlight { wait, .. } = &mut self.state {
            *wait = Wait::Still;
        }
    }

    /// Whether others have shown that nobody should wait for that.
    pub(in crate::delivery) fn is_alone(&self) -> bool {
        matches!(
            self.state,
            State::InFlight {
                wait: Wait::Still,
                ..
            }
        )
    }

    /// When something is due about the request that is out.
    pub(super) fn answer_due(&self, config: &Config) -> Option<Instant> {
        let State::InFlight {
            since,
            answer_by,
            wait,
        } = self.state
        else {
            return None;
        };
        let due = match wait {
            Wait::Recent => return Some(since + config.slow_after),
            Wait::Slow { seen, .. } => answer_by.min(seen + config.still_after),
            Wait::Still => answer_by,
        };
        let trial_over = self.is_suspect.then_some(since + config.suspicion);
        trial_over.into_iter().chain([due]).min()
    }

    /// When its request went out.
    pub(in crate::delivery) fn sent_at(&self) -> Option<Instant> {
        match self.state {
            State::InFlight { since, .. } => Some(since),
            State::Ready | State::BackingOff { .. } => None,
        }
    }

    /// What the front weighs.
    pub(in crate::delivery) fn front_bytes(&self) -> usize {
        let front = self.queue.range(..self.front);
        front.map(Entry::message_bytes).sum()
    }

    /// Whether the front is one effect that may have been published.
    pub(in crate::delivery) fn is_doubtful(&self) -> bool {
        self.front <= 1 && self.queue.front().is_some_and(|entry| entry.is_doubtful)
    }

    /// How many of the front may have been published.
    pub(in crate::delivery) fn doubtful(&self) -> usize {
        let front = self.queue.range(..self.front);
        front.filter(|entry| entry.is_doubtful).count()
    }

    /// What a server knows the front by, if it may have been published.
    pub(in crate::delivery) fn doubtful_list(&self) -> Option<Vec<Uuid>> {
        let is_doubtful = 0 < self.in_flight() || 0 < self.doubtful();
        let front = self.queue.range(..self.front).map(|entry| &entry.effect);
        let is_publish = front.clone().all(|effect| effect.operation.is_publish());
        let listed = front.map(|effect| listed(&effect.operation, &effect.key));
        (is_doubtful && is_publish).then(|| listed.collect())
    }

    /// Nobody can say whether the front was published.
    pub(super) fn doubt(&mut self) {
        for entry in self.queue.range_mut(..self.front) {
            entry.is_doubtful = true;
        }
    }

    /// The effects that are, or were, on their way together.
    pub(in crate::delivery) fn front(&self) -> Vec<&Effect> {
        let front = self.queue.range(..self.front);
        front.map(|entry| &entry.effect).collect()
    }

    /// How many effects from the head on may go out together: publishes to one
    /// channel, within the limits of a batch, none of which runs out of time before
    /// the head.
    fn batch_len(&self, config: &Config) -> usize {
        let batch = self.queue.front().and_then(|entry| entry.batch);
        if batch.is_some() {
            let channel = self
                .queue
                .front()
                .map(|entry| entry.effect.operation.channel());
            let same = self.queue.iter().take_while(|entry| {
                let operation = &entry.effect.operation;
                entry.batch == batch
                    && operation.is_publish()
                    && Some(operation.channel()) == channel
            });
            return same.count().max(1);
        }
        // Each has the time it has: none fails with one that was held up before.
        let head = self.queue.front().map(|entry| entry.arrived);
        let mut bytes = 0;
        let mut channel = None;
        let fits = self.queue.iter().take(config.batch_messages_max);
        let fits = fits.take_while(|entry| {
            let Operation::Publish { channel: to, .. } = &entry.effect.operation else {
                return false;
            };
            let is_older = head.is_some_and(|head| entry.arrived + config.patience_min < head);
            if entry.batch.is_some() || is_older {
                return false;
            }
            bytes += entry.message_bytes();
            bytes <= config.batch_bytes_max && *channel.get_or_insert(to) == to
        });
        fits.count().max(1)
    }

    /// How long its front has been tried in vain, if it has; not where only Ably could
    /// not be reached: that is no trouble of its own.
    pub(in crate::delivery) fn stuck(&self) -> Option<Stuck<'_>> {
        let is_its_own = 0 < self.front && self.health != Health::Offline;
        let front = self.queue.front().filter(|_| is_its_own)?;
        let (since, attempts) = self.tried?;
        Some(Stuck {
            lane: &self.key,
            front: front.effect.id,
            since,
            attempts,
            failure: self.last_failure.as_ref()?,
            effects: self.queue.len(),
        })
    }

    /// Whether the front is a batch that was sent.
    pub(in crate::delivery) fn is_batch(&self) -> bool {
        self.front > 1
    }

    /// Lets the effects of a batch go out one by one. Those that may have been
    /// published with it are part of `batch` from now on.
    pub(in crate::delivery) fn take_apart(&mut self, batch: BatchNumber) {
        for entry in self.queue.range_mut(..self.front) {
            if entry.is_doubtful {
                entry.batch = Some(batch);
            }
        }
        self.thaw();
    }

    /// Lets the front be decided anew: what was one request may become several.
    pub(in crate::delivery) fn thaw(&mut self) {
        self.front = 0;
        self.forget_requests();
    }

    /// Whatever answers its requests means another front, or none.
    pub(super) fn forget_requests(&mut self) {
        self.generation = 0;
        self.sent = 0;
        self.unheard = 0;
    }

    pub(super) fn take_front(&mut self) -> impl Iterator<Item = Entry<T>> + '_ {
        let front = self.front;
        self.alone = self.alone.saturating_sub(front);
        self.thaw();
        self.state = State::Ready;
        self.is_suspect = false;
        let taken = self.queue.range(..front).map(Entry::bytes).sum::<usize>();
        self.bytes -= taken;
        self.note_leaving(front);
        self.queue.drain(..front)
    }
}
