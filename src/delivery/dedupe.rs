//! Which effects are known already.
//!
//! Owns what became of every effect of the last quarter of an hour, by its id
//! and by its idempotency key, and who waits for those that are open.
//!
//! ```text
//!         begin                 settle(ok)
//! unknown ─────▶ Open ───────────────────────▶ Done ──15 min, or pushed out──▶ unknown
//!                ▲ │ ▲                                                            ▲
//!   same id, key │ │ └── begin, at its place ─┐                                   │
//!   one more     │ │ settle(failed)           │                                   │
//!   waiter ──────┘ └──────────────────────▶ Failed ───────────────────────────────┘
//! ```
//!
//! What failed because nobody could say whether it was published, and is known to be
//! by a late answer, is done from then on, unless it came again meanwhile.
//!
//! **By id.** The same id with other bytes is a conflict, whatever became of
//! the first.
//!
//! **By key.** Daemons give every attempt an id of its own; what survives is
//! the key, if it names the message and not the attempt: one that the daemon
//! gave, or one that Falco made of a message's identity. Two publishes to one
//! channel of one route with one such key *are* one message, also when their bytes differ
//! by a timestamp: Ably drops the second for about two minutes, receivers drop
//! it after that, and so does this table, only earlier. Object sets are not
//! matched by key: the last value has to win.
//!
//! Is not told of an effect before the transport has accepted it, nor of what an
//! outbox keeps; so what is lost on the way, or given up there, is never taken for
//! published. What an operator dropped is known by its id alone.
//!
//! Holds 262 144 settled effects at most, about 25 MiB with both indexes; the
//! oldest go first. Every open effect adds about 200 bytes.

mod likeness;
mod records;
mod waiters;

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;
use uuid::Uuid;

use super::effect::Producer;
use crate::clock::BootTime;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
pub(crate) use likeness::{fingerprint, known_by};
use records::{Record, Records, State};
pub(super) use waiters::Waiters;

/// How long a settled effect is remembered: well over the five minutes after
/// which the slowest known daemon tries again.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// Settled effects that are remembered.
const SETTLED_MAX: usize = 262_144;

/// An open effect; whoever settles it says so by its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    record: usize,
    waiters: usize,
}

/// What is known of an effect that arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing that would answer it. It takes the place of an attempt that
    /// failed, if there was one; whose that was is said too.
    Not { failed_at: Option<(u64, Producer)> },
    /// It waits for the outcome of an earlier submission.
    Open(Ticket),
    /// It was published, or dropped.
    Done,
    /// Its id belongs to something else.
    Conflict,
}

/// An effect that was settled elsewhere: in an earlier life, or from an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub id: EffectId,
    /// As [`known_by`] says; its id, if nothing else is known.
    pub known_by: Uuid,
    /// As [`fingerprint`] says; 0 if it is not known.
    pub fingerprint: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Dedupe<T> {
    records: Records,
    waiters: Slab<Waiters<T>>,
    joined: usize,
    /// The records of settled effects, in the order of their settling.
    settled: VecDeque<usize>,
    settled_max: usize,
}

impl<T> Dedupe<T> {
    pub(super) fn new() -> Self {
        Self::with_settled_max(SETTLED_MAX)
    }

    pub(super) fn with_settled_max(settled_max: usize) -> Self {
        Self {
            records: Records::new(),
            waiters: Slab::new(),
            joined: 0,
            settled: VecDeque::new(),
            settled_max,
        }
    }

    /// What is known of `effect`.
    pub(super) fn look_up(&mut self, effect: &SideEffect, now: BootTime) -> Known {
        self.sweep(now);
        let same_id = self.records.find(effect.id.as_uuid());
        if let Some(at) = same_id
            && self.records[at].is_other_than(effect)
        {
            return Known::Conflict;
        }
        let same_key = self.records.find_key(known_by(effect));
        let mut failed_at = None;
        for at in same_id.into_iter().chain(same_key) {
            match self.records[at].state {
                State::Open { waiters } => {
                    let record = at;
                    return Known::Open(Ticket { record, waiters });
                }
                State::Done { .. } => return Known::Done,
                State::Failed { arrival, by, .. } => {
                    failed_at = failed_at.or(Some((arrival, Producer(by.into()))));
                }
                State::Replaced { .. } => {}
            }
        }
        Known::Not { failed_at }
    }

    /// `effect`, of which nothing is known that would answer it, is open now.
    pub(super) fn begin(
        &mut self,
        effect: &SideEffect,
        failed_at: Option<(u64, Producer)>,
        origin: T,
    ) -> Ticket {
        let waiters = self.waiters.insert(Waiters {
            failed_at,
            first: (effect.id, origin),
            joined: Vec::new(),
        });
        let record = self.records.insert(Record {
            id: effect.id,
            key: known_by(effect),
            fingerprint: fingerprint(effect),
            state: State::Open { waiters },
        });
        Ticket { record, waiters }
    }

    /// How an open effect is recognised once it is settled.
    pub(super) fn known(&self, ticket: Ticket) -> Done {
        let record = &self.records[ticket.record];
        Done {
            id: record.id,
            known_by: record.key,
            fingerprint: record.fingerprint,
        }
    }

    /// An open effect is published.
    pub(super) fn done(&mut self, ticket: Ticket, now: BootTime) -> Waiters<T> {
        self.settle(ticket, State::Done { at: now })
    }

    /// An open effect failed; `arrival` is its place, should it come again over the
    /// connection it came with.
    pub(super) fn failed(
        &mut self,
        ticket: Ticket,
        (arrival, by): (u64, Producer),
        now: BootTime,
    ) -> Waiters<T> {
        let (at, by) = (now, u32::try_from(by.0).unwrap_or(u32::MAX));
        self.settle(ticket, State::Failed { at, by, arrival })
    }

    /// Whether this effect is open, or one with its key.
    pub(super) fn is_open(&self, id: EffectId) -> bool {
        let same_id = self.records.find(id.as_uuid());
        let same_key = same_id.and_then(|at| self.records.find_key(self.records[at].key));
        let mut found = same_id.into_iter().chain(same_key);
        found.any(|at| matches!(self.records[at].state, State::Open { .. }))
    }

    /// How an effect is recognised that failed, as far as is known.
    pub(super) fn find_failed(&self, id: EffectId) -> Option<Done> {
        let record = &self.records[self.records.find(id.as_uuid())?];
        matches!(record.state, State::Failed { .. }).then_some(Done {
            id: record.id,
            known_by: record.key,
            fingerprint: record.fingerprint,
        })
    }

    /// What was settled elsewhere was done at `at`; told oldest first.
    pub(super) fn restore(&mut self, done: &Done, at: BootTime) {
        let record = self.records.insert(Record {
            id: done.id,
            key: done.known_by,
            fingerprint: done.fingerprint,
            state: State::Done { at },
        });
        self.settled.push_back(record);
        self.sweep(at);
    }

    /// An effect is kept by somebody who knows all of it: what is known of it here
    /// by its id alone gives way to that.
    pub(super) fn give_way(&mut self, id: EffectId) {
        let Some(at) = self.records.find(id.as_uuid()) else {
            return;
        };
        let record = &mut self.records[at];
        if let (State::Done { at }, 0) = (record.state, record.fingerprint) {
            record.state = State::Replaced { at };
        }
    }

    fn settle(&mut self, ticket: Ticket, state: State) -> Waiters<T> {
        self.records[ticket.record].state = state;
        self.settled.push_back(ticket.record);
        self.leave(ticket)
    }

    /// An open effect was turned away before anything was tried. The place of
    /// an earlier attempt stays: those that came after it keep theirs too.
    pub(super) fn turned_away(&mut self, ticket: Ticket, now: BootTime) -> Waiters<T> {
        if let Some(place) = self.waiters[ticket.waiters].failed_at {
            return self.failed(ticket, place, now);
        }
        self.forget(ticket)
    }

    /// Somebody else knows of an open effect from now on.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Waiters<T> {
        self.records.remove(ticket.record);
        self.leave(ticket)
    }

    /// Forgets what is too old, or too much.
    pub(super) fn sweep(&mut self, now: BootTime) {
        while let Some(&at) = self.settled.front() {
            let is_kept = now.since(self.records[at].settled_at()) < KEPT;
            if is_kept && self.settled.len() <= self.settled_max {
                return;
            }
            self.settled.pop_front();
            self.records.remove(at);
        }
        if self.records.give_back() {
            self.settled = VecDeque::new();
        }
    }

    /// When [`sweep`](Self::sweep) next finds something too old.
    pub(super) fn sweep_at(&self) -> Option<BootTime> {
        let oldest = self.settled.front();
        oldest.map(|&at| self.records[at].settled_at().after(KEPT))
    }
}

#[cfg(test)]
mod tests;
