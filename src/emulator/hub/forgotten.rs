//! What is still known of channels that have been forgotten.
//!
//! A quiet channel goes with its last attachment, and its client may come back
//! a moment later: that nothing was missed meanwhile is known only as long as
//! the channel's positions are. They are kept for the newest forgotten
//! channels; of all others it is known only how far the newest of them was.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::emulator::channel::Extent;

/// Memory for positions.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one channel takes beyond its name.
const PLACE_BYTES: usize = 128;

/// Positions of forgotten channels.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    channels: HashMap<Arc<str>, Place>,
    /// Also places of channels that were taken since, which count for nothing.
    oldest_first: VecDeque<(u64, Arc<str>)>,
    bytes: usize,
    next_number: u64,
    /// Of all channels that are not here.
    rest: Extent,
}

#[derive(Debug)]
struct Place {
    number: u64,
    extent: Extent,
}

impl Forgotten {
    /// Remembers how far the channel `name` was.
    pub(super) fn insert(&mut self, name: Arc<str>, extent: Extent) {
        let number = self.next_number;
        self.next_number += 1;
        self.bytes += PLACE_BYTES + name.len();
        self.oldest_first.push_back((number, name.clone()));
        self.channels.insert(name, Place { number, extent });
        while BYTES_MAX < self.bytes {
            self.drop_oldest();
        }
    }

    /// How far the channel `name` was, which is forgotten no longer.
    pub(super) fn take(&mut self, name: &str) -> Extent {
        match self.channels.remove(name) {
            Some(place) => place.extent,
            None => self.rest,
        }
    }

    fn drop_oldest(&mut self) {
        let Some((number, name)) = self.oldest_first.pop_front() else {
            return;
        };
        self.bytes -= PLACE_BYTES + name.len();
        if self
            .channels
            .get(&name)
            .is_some_and(|place| place.number == number)
            && let Some(place) = self.channels.remove(&name)
        {
            let last = self.rest.last.max(place.extent.last);
            self.rest = Extent { floor: last, last };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::serial::Position;

    #[test]
    fn the_newest_are_known_and_the_rest_only_together() {
        let mut forgotten = Forgotten::default();
        let extent = |n| Extent {
            floor: Position::default(),
            last: Position::at(n),
        };
        let count = 50_000;
        for n in 1..=count {
            forgotten.insert(n.to_string().into(), extent(n));
        }
        assert!(forgotten.bytes <= BYTES_MAX);
        assert_eq!(forgotten.take(&count.to_string()), extent(count));
        let rest = forgotten.take("1");
        assert!(extent(1).last < rest.floor && rest.floor == rest.last);
        assert_eq!(forgotten.take(&count.to_string()), rest);
    }

    #[test]
    fn a_channel_that_comes_and_goes_takes_bounded_memory() {
        let mut forgotten = Forgotten::default();
        for n in 1..100_000 {
            let extent = Extent {
                floor: Position::default(),
                last: Position::at(n),
            };
            forgotten.insert("c".into(), extent);
            assert_eq!(forgotten.take("c"), extent);
        }
        assert!(forgotten.bytes <= BYTES_MAX);
        assert_eq!(forgotten.rest, Extent::default());
    }
}
