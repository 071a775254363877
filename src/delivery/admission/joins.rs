//! Submissions that wait for the outcome of another, and who has too many.
//!
//! They take memory, and there is room for 65 536. A connection that has as many
//! of them as there is room left has to wait: it is not read, until some of them
//! are answered. So those that resend much share the room, and leave as much of it
//! as each of them has; whoever has less, or none, is read on.
//!
//! ```text
//! one connection        32 768 at most, and as many are left
//! sixteen                3 855 each, and as many are left
//! ```
//!
//! They wait, and are not refused: what was refused has to come again before all
//! that comes behind it, so that each refusal would shut gates; and a daemon would
//! send it again at once, for nothing. To wait costs no order, and no other
//! connection anything; it lasts no longer than what is waited for.
//!
//! What a connection has sent by the time it is told is taken all the same: of
//! each up to three reads, with 1600 of the smallest effects each. Should so many
//! come at once that 262 144 wait, no session is read until there are fewer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::delivery::effect::Producer;

/// Over all connections.
const JOINED_MAX: usize = 65_536;

/// With what has come of connections that were not told in time; under 64 MiB.
pub(super) const STOP_AT: usize = 4 * JOINED_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// Never zero.
    of: BTreeMap<Producer, usize>,
    total: usize,
    /// Connections that have to wait.
    waiting: BTreeSet<Producer>,
    has_changed: bool,
    /// Connections that have to wait, or need not any more, and nobody knows it.
    moved: VecDeque<(Producer, bool)>,
}

impl Joins {
    /// One more submission of a connection waits.
    pub(super) fn add(&mut self, producer: Producer) {
        *self.of.entry(producer).or_default() += 1;
        self.total += 1;
        self.has_changed = true;
    }

    /// One waits no longer.
    pub(super) fn remove(&mut self, producer: Producer) {
        let Some(joins) = self.of.get_mut(&producer) else {
            return;
        };
        *joins -= 1;
        if *joins == 0 {
            self.of.remove(&producer);
        }
        self.total -= 1;
        self.has_changed = true;
    }

    /// How many submissions wait.
    pub(super) fn len(&self) -> usize {
        self.total
    }

    /// The next connection that has to wait, or need not any more.
    pub(super) fn poll_moved(&mut self) -> Option<(Producer, bool)> {
        if std::mem::take(&mut self.has_changed) {
            self.look();
        }
        self.moved.pop_front()
    }

    fn look(&mut self) {
        let room = JOINED_MAX.saturating_sub(self.total);
        let has_too_many = self.of.iter().filter(|(_, joins)| room <= **joins);
        let waiting: BTreeSet<_> = has_too_many.map(|(producer, _)| *producer).collect();
        let ends = self.waiting.difference(&waiting).map(|who| (*who, false));
        let begins = waiting.difference(&self.waiting).map(|who| (*who, true));
        self.moved.extend(ends.chain(begins));
        self.waiting = waiting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that join whenever they may, and whether they may.
    struct Story {
        joins: Joins,
        waits: BTreeMap<Producer, bool>,
    }

    impl Story {
        fn new() -> Self {
            Self {
                joins: Joins::default(),
                waits: BTreeMap::new(),
            }
        }

        fn waits(&mut self, producer: u64) -> bool {
            while let Some((producer, waits)) = self.joins.poll_moved() {
                let before = self.waits.insert(producer, waits);
                assert_eq!(before.unwrap_or(false), !waits, "it is news");
            }
            self.waits.get(&Producer(producer)) == Some(&true)
        }

        fn add(&mut self, producer: u64, joins: usize) {
            for _ in 0..joins {
                self.joins.add(Producer(producer));
            }
        }

        fn remove(&mut self, producer: u64, joins: usize) {
            for _ in 0..joins {
                self.joins.remove(Producer(producer));
            }
        }
    }

    #[test]
    fn whoever_has_as_many_as_there_is_room_left_waits_and_nobody_else() {
        let mut story = Story::new();
        story.add(1, JOINED_MAX / 2 - 1);
        story.add(2, 1);
        assert!(!story.waits(1));
        story.add(1, 1);
        assert!(story.waits(1) && !story.waits(2) && !story.waits(3));
        story.remove(1, 1);
        assert!(!story.waits(1));
    }

    #[test]
    fn those_that_resend_everything_share_the_room_and_stop_nobody() {
        let mut story = Story::new();
        for _ in 0..100 {
            for producer in 1..=17 {
                if !story.waits(producer) {
                    story.add(producer, 700);
                }
            }
        }
        assert!((1..=17).all(|producer| story.waits(producer)));
        assert!(story.joins.total < JOINED_MAX);
        story.add(99, 1000);
        assert!(!story.waits(99));
    }

    #[test]
    fn nothing_is_kept_of_whoever_was_answered() {
        let mut story = Story::new();
        story.add(1, JOINED_MAX + 700);
        story.add(2, 1);
        assert!(story.waits(1) && story.waits(2));
        story.remove(1, JOINED_MAX + 700);
        assert!(!story.waits(1) && !story.waits(2));
        story.remove(2, 1);
        assert!(!story.waits(2));
        let Joins { of, waiting, .. } = &story.joins;
        assert!(of.is_empty() && waiting.is_empty() && story.joins.total == 0);
    }
}
