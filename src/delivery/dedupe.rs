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
//! Is not told of an effect before the transport has accepted it, or it is
//! durable; so what is lost on the way is never taken for published.
//!
//! Holds 262 144 settled effects at most, about 20 MiB with both indexes; the
//! oldest go first. Every open effect adds about 200 bytes.

mod waiters;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use slab::Slab;
use uuid::Uuid;

use crate::clock::BootTime;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::EffectId;
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
    /// failed, if there was one.
    Not { failed_at: Option<u64> },
    /// It waits for the outcome of an earlier submission.
    Open(Ticket),
    /// It was published.
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

#[derive(Debug)]
struct Record {
    id: EffectId,
    /// The id itself, if nothing else makes copies recognisable.
    key: Uuid,
    /// 0 if its bytes are not known.
    fingerprint: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open {
        waiters: usize,
    },
    Done {
        at: BootTime,
    },
    Failed {
        at: BootTime,
        arrival: u64,
    },
    /// A later attempt has its place; it only waits to be swept.
    Replaced {
        at: BootTime,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Dedupe<T> {
    records: Slab<Record>,
    by_id: HashTable<usize>,
    /// Without those whose key is their id.
    by_key: HashTable<usize>,
    hasher: RandomState,
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
            records: Slab::new(),
            by_id: HashTable::new(),
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            waiters: Slab::new(),
            joined: 0,
            settled: VecDeque::new(),
            settled_max,
        }
    }

    /// What is known of `effect`.
    pub(super) fn look_up(&mut self, effect: &SideEffect, now: BootTime) -> Known {
        self.sweep(now);
        let same_id = self.find(effect.id.as_uuid());
        if let Some(at) = same_id
            && self.records[at].is_other_than(effect)
        {
            return Known::Conflict;
        }
        let same_key = self.find_key(known_by(effect));
        let mut failed_at = None;
        for at in same_id.into_iter().chain(same_key) {
            match self.records[at].state {
                State::Open { waiters } => {
                    let record = at;
                    return Known::Open(Ticket { record, waiters });
                }
                State::Done { .. } => return Known::Done,
                State::Failed { arrival, .. } => failed_at = failed_at.or(Some(arrival)),
                State::Replaced { .. } => {}
            }
        }
        Known::Not { failed_at }
    }

    /// `effect`, of which nothing is known that would answer it, is open now.
    pub(super) fn begin(
        &mut self,
        effect: &SideEffect,
        failed_at: Option<u64>,
        origin: T,
    ) -> Ticket {
        let waiters = self.waiters.insert(Waiters {
            failed_at,
            first: (effect.id, origin),
            joined: Vec::new(),
        });
        let record = self.insert(Record {
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

    /// An open effect is published, or durable.
    pub(super) fn done(&mut self, ticket: Ticket, now: BootTime) -> Waiters<T> {
        self.settle(ticket, State::Done { at: now })
    }

    /// An open effect failed; `arrival` is its place, should it come again.
    pub(super) fn failed(&mut self, ticket: Ticket, arrival: u64, now: BootTime) -> Waiters<T> {
        let at = now;
        self.settle(ticket, State::Failed { at, arrival })
    }

    /// What was settled elsewhere was done at `at`; told oldest first.
    pub(super) fn restore(&mut self, done: &Done, at: BootTime) {
        let record = self.insert(Record {
            id: done.id,
            key: done.known_by,
            fingerprint: done.fingerprint,
            state: State::Done { at },
        });
        self.settled.push_back(record);
        self.sweep(at);
    }

    fn settle(&mut self, ticket: Ticket, state: State) -> Waiters<T> {
        self.records[ticket.record].state = state;
        self.settled.push_back(ticket.record);
        self.leave(ticket)
    }

    fn insert(&mut self, record: Record) -> usize {
        let (id, key) = (record.id.as_uuid(), record.key);
        let (id_hash, key_hash) = (self.hasher.hash_one(id), self.hasher.hash_one(key));
        let at = self.records.insert(record);
        let Self {
            records,
            by_id,
            by_key,
            hasher,
            ..
        } = self;
        let hash_id = |&at: &usize| hasher.hash_one(records[at].id.as_uuid());
        let hash_key = |&at: &usize| hasher.hash_one(records[at].key);
        let same_id = |&at: &usize| records[at].id.as_uuid() == id;
        let same_key = |&at: &usize| records[at].key == key;
        let before = put(by_id, id_hash, at, same_id, hash_id);
        if key != id {
            put(by_key, key_hash, at, same_key, hash_key);
        }
        if let Some(before) = before {
            let at = records[before].settled_at();
            records[before].state = State::Replaced { at };
        }
        at
    }

    fn find(&self, id: Uuid) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let found = self
            .by_id
            .find(hash, |&at| self.records[at].id.as_uuid() == id);
        found.copied()
    }

    fn find_key(&self, key: Uuid) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self.by_key.find(hash, |&at| self.records[at].key == key);
        found.copied()
    }

    /// An open effect was turned away before anything was tried. The place of
    /// an earlier attempt stays: those that came after it keep theirs too.
    pub(super) fn turned_away(&mut self, ticket: Ticket, now: BootTime) -> Waiters<T> {
        if let Some(arrival) = self.waiters[ticket.waiters].failed_at {
            return self.failed(ticket, arrival, now);
        }
        self.forget(ticket)
    }

    /// Somebody else knows of an open effect from now on.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Waiters<T> {
        self.remove(ticket.record);
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
            self.remove(at);
        }
        if self.records.is_empty() && self.records.capacity() > 0 {
            self.records = Slab::new();
            self.by_id = HashTable::new();
            self.by_key = HashTable::new();
            self.settled = VecDeque::new();
        }
    }

    /// When [`sweep`](Self::sweep) next finds something too old.
    pub(super) fn sweep_at(&self) -> Option<BootTime> {
        let oldest = self.settled.front();
        oldest.map(|&at| self.records[at].settled_at().after(KEPT))
    }

    fn remove(&mut self, at: usize) {
        let record = self.records.remove(at);
        let id = record.id.as_uuid();
        let hash = self.hasher.hash_one(id);
        if let Ok(found) = self.by_id.find_entry(hash, |&found| found == at) {
            found.remove();
        }
        if record.key == id {
            return;
        }
        let hash = self.hasher.hash_one(record.key);
        if let Ok(found) = self.by_key.find_entry(hash, |&found| found == at) {
            found.remove();
        }
    }
}

impl Record {
    fn is_other_than(&self, effect: &SideEffect) -> bool {
        self.fingerprint != 0 && self.fingerprint != fingerprint(effect)
    }

    /// When it was settled; an open one never is swept.
    fn settled_at(&self) -> BootTime {
        match self.state {
            State::Done { at } | State::Failed { at, .. } | State::Replaced { at } => at,
            State::Open { .. } => BootTime::default(),
        }
    }
}

/// Lets a name stand for the record `at`; returns for which it stood before.
fn put(
    table: &mut HashTable<usize>,
    hash: u64,
    at: usize,
    is_same: impl FnMut(&usize) -> bool,
    rehash: impl Fn(&usize) -> u64,
) -> Option<usize> {
    if let Some(place) = table.find_mut(hash, is_same) {
        return Some(std::mem::replace(place, at));
    }
    table.insert_unique(hash, at, rehash);
    None
}

/// What `effect` can be recognised by under another id; else its own id.
pub(crate) fn known_by(effect: &SideEffect) -> Uuid {
    match &effect.operation {
        Operation::Publish { channel, .. } => {
            effect.key.comparable(effect.route.as_deref(), channel)
        }
        Operation::ObjectSet { .. } => effect.id.as_uuid(),
    }
}

/// Tells what an effect does from what another does, also after an update; never
/// 0. One in four thousand million others looks the same: enough to catch a
/// mistake with.
pub(crate) fn fingerprint(effect: &SideEffect) -> u64 {
    let operation = &effect.operation;
    let kind = match operation {
        Operation::Publish { .. } => 1,
        Operation::ObjectSet { .. } => 2,
    };
    let route = effect.route.as_deref().unwrap_or_default();
    let texts = [operation.channel(), operation.name(), route];
    let names = texts.iter().fold(kind, |names, text| {
        crc32c::crc32c_append(names, text.as_bytes())
    });
    let body = crc32c::crc32c(operation.body());
    (u64::from(names) << 32 | u64::from(body)).max(1)
}

#[cfg(test)]
mod tests;
