//! Records of effects, found by id and by key.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use hashbrown::{DefaultHashBuilder, HashTable};
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
        /// The number of its connection; of one beyond these it is another's.
        by: u32,
        arrival: u64,
    },
    /// A later attempt has its place, or whoever keeps it; it only waits to be
    /// swept.
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

/// What a record is called by, and where it is. A table grows, and finds what is
/// to be removed, without a look at the records themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    tag: u32,
    at: u32,
}

impl Name {
    /// Within bounds: so many records would take 256 GiB.
    fn new(tag: u32, at: usize) -> Self {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        Self { tag, at }
    }

    fn at(self) -> usize {
        self.at as usize
    }

    /// A table takes the upper and the lower bits of a hash.
    fn hash(self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.tag)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) all: Slab<Record>,
    pub(super) by_id: HashTable<Name>,
    /// Without those whose key is their id.
    pub(super) by_key: HashTable<Name>,
    hasher: DefaultHashBuilder,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            all: Slab::new(),
            by_id: HashTable::new(),
            by_key: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// A new record; it takes the place of an earlier one with its id.
    pub(super) fn insert(&mut self, record: Record) -> usize {
        let (id, key) = (record.id.as_uuid(), record.key);
        let tags = (self.tag(id), self.tag(key));
        let at = self.all.insert(record);
        let Self {
            all, by_id, by_key, ..
        } = self;
        let before = put(by_id, Name::new(tags.0, at), |at| {
            all[at].id.as_uuid() == id
        });
        if key != id {
            put(by_key, Name::new(tags.1, at), |at| all[at].key == key);
        }
        if let Some(before) = before {
            let at = all[before].settled_at();
            all[before].state = State::Replaced { at };
        }
        at
    }

    /// The last with this id.
    pub(super) fn find(&self, id: Uuid) -> Option<usize> {
        let is_it = |at: usize| self.all[at].id.as_uuid() == id;
        find(&self.by_id, self.tag(id), is_it)
    }

    /// The last with this key.
    pub(super) fn find_key(&self, key: Uuid) -> Option<usize> {
        find(&self.by_key, self.tag(key), |at| self.all[at].key == key)
    }

    pub(super) fn remove(&mut self, at: usize) {
        let record = self.all.remove(at);
        let id = record.id.as_uuid();
        let tag = self.tag(id);
        take(&mut self.by_id, Name::new(tag, at));
        if record.key != id {
            let tag = self.tag(record.key);
            take(&mut self.by_key, Name::new(tag, at));
        }
    }

    fn tag(&self, name: Uuid) -> u32 {
        // Of the two halves one is as good as the other.
        (self.hasher.hash_one(name) >> 32) as u32
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

fn find(table: &HashTable<Name>, tag: u32, is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let name = Name { tag, at: 0 };
    let found = table.find(name.hash(), |other| other.tag == tag && is_it(other.at()));
    found.map(|found| found.at())
}

/// Lets a name stand for a record; returns for which it stood before.
fn put(table: &mut HashTable<Name>, name: Name, is_same: impl Fn(usize) -> bool) -> Option<usize> {
    let is_same = |other: &Name| other.tag == name.tag && is_same(other.at());
    if let Some(before) = table.find_mut(name.hash(), is_same) {
        return Some(std::mem::replace(before, name).at());
    }
    table.insert_unique(name.hash(), name, |other| other.hash());
    None
}

/// Takes a name from a record, unless it stands for another by now.
fn take(table: &mut HashTable<Name>, name: Name) {
    if let Ok(found) = table.find_entry(name.hash(), |other| other.at == name.at) {
        found.remove();
    }
}
