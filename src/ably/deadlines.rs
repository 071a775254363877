//! Many deadlines, one timer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Places for deadlines that are kept when there are none.
const KEPT_CAPACITY: usize = 256;

/// The earliest of many deadlines; those of settled publishes are forgotten
/// lazily.
///
/// Requests mostly share one patience, so deadlines mostly come in order and
/// a push costs nothing; answers mostly come in order too, so the settled ones
/// are on top.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Instant, order: u64) {
        self.heap.push(Reverse((at, order)));
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one deadline that has passed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        if self.first()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, order))| order)
    }

    /// Forgets settled deadlines: those on top, and all of them once they
    /// outnumber the `open` ones.
    pub(super) fn prune(&mut self, open: usize, is_open: impl Fn(u64) -> bool) {
        while let Some(Reverse((_, order))) = self.heap.peek() {
            if is_open(*order) {
                break;
            }
            self.heap.pop();
        }
        if self.heap.len() > 2 * open + 64 {
            self.heap.retain(|Reverse((_, order))| is_open(*order));
        }
        if self.heap.is_empty() && self.heap.capacity() > KEPT_CAPACITY {
            self.heap.shrink_to(KEPT_CAPACITY);
        }
    }

    /// How many are remembered, settled ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
    }
}
