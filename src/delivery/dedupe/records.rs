//! Records of effects, found by id and by key.

use std::hash::{BuildHasher, RandomState};
use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use slab::Slab;
use uuid::Uuid;

use super::fingerprint;
use crate::clock::BootTime;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

#[derive(Debug)]
pub(super) struct Record {
    pub id: EffectId,
    /// The id itself, if nothing else makes copies recognisable.
    pub key: Uuid,
    /// 0 if its bytes are not known.
    pub fingerprint: u64,
    pub state: State,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
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

impl Record {
    pub(super) fn is_other_than(&self, effect: &SideEffect) -> bool {
        self.fingerprint != 0 && self.fingerprint != fingerprint(effect)
    }

    /// When it was settled; an open one never is swept.
    pub(super) fn settled_at(&self) -> BootTime {
        match self.state {
            State::Done { at } | State::Failed { at, .. } | State::Replaced { at } => at,
            State::Open { .. } => BootTime::default(),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) all: Slab<Record>,
    pub(super) by_id: HashTable<usize>,
    /// Without those whose key is their id.
    pub(super) by_key: HashTable<usize>,
    hasher: RandomState,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            all: Slab::new(),
            by_id: HashTable::new(),
            by_key: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// A new record; it takes the place of an earlier one with its id.
    pub(super) fn insert(&mut self, record: Record) -> usize {
        let (id, key) = (record.id.as_uuid(), record.key);
        let (id_hash, key_hash) = (self.hasher.hash_one(id), self.hasher.hash_one(key));
        let at = self.all.insert(record);
        let Self {
            all,
            by_id,
            by_key,
            hasher,
        } = self;
        let hash_id = |&at: &usize| hasher.hash_one(all[at].id.as_uuid());
        let hash_key = |&at: &usize| hasher.hash_one(all[at].key);
        let same_id = |&at: &usize| all[at].id.as_uuid() == id;
        let same_key = |&at: &usize| all[at].key == key;
        let before = put(by_id, id_hash, at, same_id, hash_id);
        if key != id {
            put(by_key, key_hash, at, same_key, hash_key);
        }
        if let Some(before) = before {
            let at = all[before].settled_at();
            all[before].state = State::Replaced { at };
        }
        at
    }

    /// The last with this id.
    pub(super) fn find(&self, id: Uuid) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let found = self.by_id.find(hash, |&at| self.all[at].id.as_uuid() == id);
        found.copied()
    }

    /// The last with this key.
    pub(super) fn find_key(&self, key: Uuid) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self.by_key.find(hash, |&at| self.all[at].key == key);
        found.copied()
    }

    pub(super) fn remove(&mut self, at: usize) {
        let record = self.all.remove(at);
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

    /// Gives their memory back, once there are none; returns whether it did.
    pub(super) fn give_back(&mut self) -> bool {
        let is_idle = self.all.is_empty() && self.all.capacity() > 0;
        if is_idle {
            *self = Self::new();
        }
        is_idle
    }
}

impl Index<usize> for Records {
    type Output = Record;

    fn index(&self, at: usize) -> &Record {
        &self.all[at]
    }
}

impl IndexMut<usize> for Records {
    fn index_mut(&mut self, at: usize) -> &mut Record {
        &mut self.all[at]
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
