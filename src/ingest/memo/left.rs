//! What earlier lives have left.

use std::mem;

use hashbrown::HashSet;
use uuid::Uuid;

use crate::clock::BootTime;
use crate::delivery::{Admission, Done};
use crate::protocol::id::EffectId;

/// An effect in a batch, as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub id: EffectId,
    pub key: Uuid,
}

/// A batch an earlier life has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// When it went out last, or less than [`NOTED_FOR`](super::NOTED_FOR) before that.
    pub at: BootTime,
    pub entries: Vec<Entry>,
    pub is_accepted: bool,
}

impl Batch {
    /// What it was made of, in order.
    pub(super) fn keys(&self) -> Vec<Uuid> {
        self.entries.iter().map(|entry| entry.key).collect()
    }

    /// That its effects are published; all that is known of them here is their
    /// ids.
    fn done(&self) -> impl Iterator<Item = (BootTime, Done)> {
        self.entries.iter().map(|entry| {
            let done = Done {
                id: entry.id,
                known_by: entry.id.as_uuid(),
                fingerprint: 0,
            };
            (self.at, done)
        })
    }
}

/// An effect of the outbox that is published: the one that arrived then, and
/// no other that had its id later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::ingest) struct Published {
    pub id: EffectId,
    pub arrived_ms: u64,
}

/// What earlier lives have left.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Left {
    /// What they sent lately, newest last.
    pub(super) batches: Vec<Batch>,
    /// What was published, and when.
    pub(super) done: Vec<(BootTime, Done)>,
    /// What was published of the outbox.
    pub published: HashSet<Published>,
}

impl Left {
    /// What has to go out again as it was if it comes again, newest last. That is
    /// not what was accepted: it does not go out again, where more is known of it
    /// than its ids.
    pub(in crate::ingest) fn lists(&self) -> Vec<Vec<Uuid>> {
        let done = self.done.iter().map(|(_, done)| done.id);
        let published = self.published.iter().map(|published| published.id);
        let known: HashSet<EffectId> = done.chain(published).collect();
        let is_over = |batch: &&Batch| {
            let mut entries = batch.entries.iter();
            batch.is_accepted && entries.all(|entry| known.contains(&entry.id))
        };
        let open = self.batches.iter().filter(|batch| !is_over(batch));
        open.map(Batch::keys).collect()
    }

    /// Tells what is published.
    pub(in crate::ingest) fn tell<T>(&mut self, admission: &mut Admission<T>) {
        let mut done = mem::take(&mut self.done);
        let told: HashSet<EffectId> = done.iter().map(|(_, done)| done.id).collect();
        let accepted = self.batches.iter().filter(|batch| batch.is_accepted);
        let by_id = accepted.flat_map(Batch::done);
        done.extend(by_id.filter(|(_, done)| !told.contains(&done.id)));
        // What is known by its id alone is the older of what is as old.
        done.sort_by_key(|(at, done)| (*at, done.fingerprint != 0));
        for (at, done) in &done {
            admission.handle_done_elsewhere(done, *at);
        }
    }
}
