//! Whose turn it is, among the lanes that may send.
//!
//! Connections take turns, and within a connection its lanes do, so that
//! neither a connection with thousands of lanes nor a lane with large effects
//! takes from another more than its share. A turn is worth 16 KiB; who sends
//! more waits correspondingly longer for the next. A lane that has something to
//! send for the first time goes with those that wait already: it waits for one
//! turn of each at most.
//!
//! This is deficit round robin without its rounds: every turn has a price, and
//! who has spent least goes first. Whoever comes, or comes back, begins one turn
//! behind the last that sent: nobody is credited for having been idle.

use std::collections::{BTreeMap, HashMap};

use super::Producer;

/// What a turn costs at least, in bytes.
const QUANTUM: u64 = 16 * 1024;

/// What was spent so far, and, among equals, who came first.
type Rank = (u64, u64);

/// Where a waiting lane stands; whoever waits keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    producer: Producer,
    rank: Rank,
}

/// What a lane has spent, on the account of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    producer: Producer,
    bytes: u64,
}

/// The lanes of one connection that may send.
#[derive(Debug)]
struct Line {
    rank: Rank,
    /// What the last that sent had spent before.
    level: u64,
    slots: BTreeMap<Rank, u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: HashMap<Producer, Line>,
    order: BTreeMap<Rank, Producer>,
    /// Those that have no account yet, in the order they came.
    new: BTreeMap<u64, u32>,
    /// What the last connection that sent had spent before.
    level: u64,
    /// No account is higher.
    highest: u64,
    next: u64,
}

impl Turns {
    /// The lane in `slot` may send, for this connection.
    pub(super) fn enter(&mut self, slot: u32, producer: Producer, spent: Option<Spent>) -> Turn {
        let ticket = self.next;
        self.next += 1;
        let Self {
            lines,
            order,
            new,
            level,
            highest,
            ..
        } = self;
        let line = lines.entry(producer).or_insert_with(|| {
            let rank = (*level + QUANTUM, ticket);
            order.insert(rank, producer);
            Line {
                rank,
                level: *highest,
                slots: BTreeMap::new(),
            }
        });
        let spent = spent.filter(|spent| spent.producer == producer);
        if spent.is_none() {
            new.insert(ticket, slot);
        }
        let spent = spent.map_or(0, |spent| spent.bytes);
        let rank = (spent.max(line.level + QUANTUM), ticket);
        line.slots.insert(rank, slot);
        Turn { producer, rank }
    }

    /// A lane may not send any more.
    pub(super) fn leave(&mut self, turn: Turn) {
        let Some(line) = self.lines.get_mut(&turn.producer) else {
            return;
        };
        line.slots.remove(&turn.rank);
        self.new.remove(&turn.rank.1);
        if line.slots.is_empty() {
            self.order.remove(&line.rank);
            self.lines.remove(&turn.producer);
        }
    }

    /// The lane that sends next.
    pub(super) fn next(&self) -> Option<u32> {
        let (_, producer) = self.order.first_key_value()?;
        let slots = &self.lines.get(producer)?.slots;
        slots.first_key_value().map(|(_, &slot)| slot)
    }

    /// Of the lanes that never sent, the one that came last.
    pub(super) fn newest(&self) -> Option<u32> {
        self.new.last_key_value().map(|(_, &slot)| slot)
    }

    /// The lane that waited with `turn` sends so much now, and leaves.
    pub(super) fn spend(&mut self, turn: Turn, bytes: usize) -> Spent {
        let price = QUANTUM.max(bytes as u64);
        let producer = turn.producer;
        let bytes = turn.rank.0 + price;
        self.highest = self.highest.max(bytes);
        if let Some(line) = self.lines.get_mut(&producer) {
            line.level = turn.rank.0;
            self.level = line.rank.0;
            self.order.remove(&line.rank);
            line.rank = (line.rank.0 + price, self.next);
            self.next += 1;
            self.order.insert(line.rank, producer);
        }
        self.leave(turn);
        Spent { producer, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Producer = Producer(1);
    const B: Producer = Producer(2);

    /// Lanes that always have more to send, of a size each.
    struct Story {
        turns: Turns,
        waiting: HashMap<u32, Turn>,
        spent: HashMap<u32, Spent>,
        sizes: HashMap<u32, (Producer, usize)>,
    }

    impl Story {
        fn new() -> Self {
            Self {
                turns: Turns::default(),
                waiting: HashMap::new(),
                spent: HashMap::new(),
                sizes: HashMap::new(),
            }
        }

        fn add(&mut self, slots: impl IntoIterator<Item = u32>, producer: Producer, size: usize) {
            for slot in slots {
                self.sizes.insert(slot, (producer, size));
                self.enter(slot);
            }
        }

        fn enter(&mut self, slot: u32) {
            let (producer, _) = self.sizes[&slot];
            let spent = self.spent.get(&slot).copied();
            let turn = self.turns.enter(slot, producer, spent);
            self.waiting.insert(slot, turn);
        }

        /// Who sends, so many times.
        fn send(&mut self, times: usize) -> Vec<u32> {
            let mut sent = Vec::new();
            for _ in 0..times {
                let slot = self.turns.next().expect("somebody waits");
                let turn = self.waiting.remove(&slot).expect("it waits");
                let spent = self.turns.spend(turn, self.sizes[&slot].1);
                self.spent.insert(slot, spent);
                self.enter(slot);
                sent.push(slot);
            }
            sent
        }
    }

    #[test]
    fn lanes_of_one_connection_take_turns_in_the_order_they_came() {
        let mut story = Story::new();
        story.add([3, 1, 2], A, 10);
        assert_eq!(story.send(7), [3, 1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_connection_with_thousands_of_lanes_takes_no_more_turns_than_one_with_one() {
        let mut story = Story::new();
        story.add(0..5000, A, 10);
        story.send(100);
        story.add([9999], B, 10);
        let sent = story.send(100);
        let of_b = sent.iter().filter(|slot| **slot == 9999).count();
        assert!((49..=51).contains(&of_b), "{of_b}");
    }

    #[test]
    fn a_lane_with_large_effects_sends_as_many_bytes_as_its_neighbour_and_not_more() {
        let mut story = Story::new();
        let quantum = usize::try_from(QUANTUM).unwrap();
        story.add([1], A, 64 * quantum);
        story.add([2], A, quantum);
        let large = story.send(650).iter().filter(|slot| **slot == 1).count();
        assert!((9..=11).contains(&large), "{large}");
    }

    #[test]
    fn whoever_comes_anew_waits_one_round_and_is_not_credited_for_the_time_before() {
        let mut story = Story::new();
        story.add(0..10, A, 10);
        story.send(1000);
        story.add([10], A, 10);
        let sent = story.send(22);
        let turns = sent.iter().filter(|slot| **slot == 10).count();
        assert_eq!(turns, 2, "{sent:?}");
    }

    #[test]
    fn who_leaves_is_not_asked_and_nothing_is_kept_of_it() {
        let mut turns = Turns::default();
        let first = turns.enter(1, A, None);
        let second = turns.enter(2, B, None);
        turns.leave(first);
        assert_eq!(turns.next(), Some(2));
        turns.leave(second);
        assert_eq!(turns.next(), None);
        assert!(turns.lines.is_empty() && turns.order.is_empty());
        assert!(turns.new.is_empty());
    }

    #[test]
    fn the_newest_is_the_last_that_came_and_has_not_sent() {
        let mut story = Story::new();
        story.add([1, 2], A, 10);
        story.add([3], B, 10);
        assert_eq!(story.turns.newest(), Some(3));
        story.send(6);
        assert_eq!(story.turns.newest(), None, "all have sent");
        story.add([4], A, 10);
        assert_eq!(story.turns.newest(), Some(4));
    }

    #[test]
    fn a_lane_that_changes_its_connection_brings_no_debts() {
        let mut story = Story::new();
        story.add([1], A, 1 << 30);
        story.send(1);
        story.turns.leave(story.waiting[&1]);
        story.add([2], B, 10);
        story.send(3);
        story.add([1], B, 10);
        assert_eq!(story.send(2), [2, 1]);
    }
}
