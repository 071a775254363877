//! What was published a moment ago, so that it is not published twice.
//!
//! A publish that is sent again, because its answer was lost, carries the same
//! id on the same channel and is answered as the first was. Ids are forgotten
//! after [`WINDOW_MS`], or sooner when more than [`IDS_MAX`] would be kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use super::serial::Position;

/// How long an id is remembered, as at Ably.
pub(super) const WINDOW_MS: i64 = 120_000;

/// The most ids remembered at once; about 25 MB when full.
const IDS_MAX: usize = 1 << 18;

/// What one id takes in both collections, with the room they keep free.
const ID_BYTES: usize = 96;

/// Two independent keyed hashes of channel and id. Both colliding by chance is
/// out of reach, and a peer who does not know the keys cannot force it.
type Fingerprint = (u64, u64);

/// The ids of the last two minutes, over all channels.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hashers: (RandomState, RandomState),
    positions: HashMap<Fingerprint, Position>,
    oldest_first: VecDeque<(i64, Fingerprint)>,
}

impl Recent {
    /// Where `id` was published on `channel`, if that was a moment ago.
    pub(super) fn find(&mut self, channel: &str, id: &[&str], now_ms: i64) -> Option<Position> {
        self.forget(now_ms - WINDOW_MS);
        self.positions.get(&self.fingerprint(channel, id)).copied()
    }

    /// Remembers that `id` was published on `channel` at `position`.
    pub(super) fn insert(&mut self, channel: &str, id: &[&str], position: Position, now_ms: i64) {
        if self.positions.len() >= IDS_MAX {
            self.forget_oldest();
        }
        let fingerprint = self.fingerprint(channel, id);
        if self.positions.insert(fingerprint, position).is_none() {
            self.oldest_first.push_back((now_ms, fingerprint));
        }
    }

    /// The memory the ids take, about.
    pub(super) fn bytes(&self) -> usize {
        ID_BYTES * self.oldest_first.len()
    }

    /// When the oldest id may be forgotten.
    pub(super) fn next_expiry_ms(&self) -> Option<i64> {
        self.oldest_first.front().map(|(at, _)| at + WINDOW_MS)
    }

    /// Forgets every id remembered at `until_ms` or before.
    pub(super) fn forget(&mut self, until_ms: i64) {
        while self
            .oldest_first
            .front()
            .is_some_and(|(at, _)| *at <= until_ms)
        {
            self.forget_oldest();
        }
        if self.oldest_first.is_empty() && self.positions.capacity() > 1024 {
            self.positions = HashMap::new();
            self.oldest_first = VecDeque::new();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, fingerprint)) = self.oldest_first.pop_front() {
            self.positions.remove(&fingerprint);
        }
    }

    fn fingerprint(&self, channel: &str, id: &[&str]) -> Fingerprint {
        let hash = |state: &RandomState| state.hash_one((channel, id));
        (hash(&self.hashers.0), hash(&self.hashers.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_for_two_minutes_on_its_own_channel_only() {
        let mut recent = Recent::default();
        let position = Position::at(7);
        recent.insert("a", &["id"], position, 1000);
        assert_eq!(recent.find("a", &["id"], 1000), Some(position));
        assert_eq!(recent.find("b", &["id"], 1000), None);
        assert_eq!(
            recent.find("a", &["id"], 1000 + WINDOW_MS - 1),
            Some(position)
        );
        assert_eq!(recent.find("a", &["id"], 1000 + WINDOW_MS), None);
        assert_eq!(recent.next_expiry_ms(), None);
    }

    #[test]
    fn memory_is_bounded_by_forgetting_the_oldest() {
        let mut recent = Recent::default();
        for n in 0..=IDS_MAX {
            recent.insert("a", &[&n.to_string()], Position::at(1), 0);
        }
        assert_eq!(recent.find("a", &["0"], 0), None);
        assert_eq!(recent.oldest_first.len(), IDS_MAX);
    }
}
