//! What earlier lives have left.

use hashbrown::HashSet;
use uuid::Uuid;

use crate::clock::BootTime;
use crate::delivery::{Admission, Done};
use crate::protocol::id::EffectId;

/// An effect in a batch, as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::ingest) struct Entry {
    pub id: EffectId,
    pub key: Uuid,
}

/// A batch an earlier life has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) struct Batch {
    /// When it went out last, or less than [`NOTED_FOR`](super::NOTED_FOR) before that.
    pub at: BootTime,
    pub entries: Vec<Entry>,
    pub is_accepted: bool,
}

impl Batch {
    /// What it was made of, in order.
    pub(in crate::ingest) fn keys(&self) -> Vec<Uuid> {
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
    pub batches: Vec<Batch>,
    /// What was published, and when.
    pub(super) done: Vec<(BootTime, Done)>,
    /// What was published of the outbox.
    pub published: HashSet<Published>,
}

impl Left {
    /// Tells what is published.
    pub(in crate::ingest) fn tell<T>(&self, admission: &mut Admission<T>) {
        let told: HashSet<EffectId> = self.done.iter().map(|(_, done)| done.id).collect();
        let accepted = self.batches.iter().filter(|batch| batch.is_accepted);
        let by_id = accepted.flat_map(Batch::done);
        let by_id = by_id.filter(|(_, done)| !told.contains(&done.id));
        let mut done: Vec<_> = by_id.chain(self.done.iter().copied()).collect();
        done.sort_by_key(|(at, _)| *at);
        for (at, done) in &done {
            admission.handle_done_elsewhere(done, *at);
        }
    }
}
