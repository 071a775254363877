//! A journal at work, and what it has written.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use falco::journal::{Entry, Journal, Receipt, Settled};

use crate::entries::{entries, known};

/// What a journal has written so far.
#[derive(Clone, Copy)]
pub struct Written {
    /// Each was synced; several writes may be one.
    pub batches: u64,
    pub records: u64,
    /// Bytes of its segments; those that are not needed any more are removed.
    pub held: u64,
}

/// A journal at work: every batch settles what the one before recorded.
pub struct Steady<'j> {
    pub journal: &'j Journal,
    pub before: Vec<Settled>,
}

impl Steady<'_> {
    /// Batches, each answered before the next is made; making them is not
    /// counted.
    pub fn write(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        batches: usize,
        records: usize,
    ) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..batches {
            let batch = self.next(records);
            let begun = Instant::now();
            runtime.block_on(async {
                let receipt = self.journal.append(batch).await.expect("open");
                receipt.await.expect("recorded");
            });
            took += begun.elapsed();
        }
        took
    }

    /// The same, but that so many are appended before the first is answered; all are
    /// made before.
    pub fn write_ahead(
        &mut self,
        at_a_time: usize,
        runtime: &tokio::runtime::Runtime,
        batches: usize,
        records: usize,
    ) -> Duration {
        let work: Vec<_> = (0..batches).map(|_| self.next(records)).collect();
        let begun = Instant::now();
        runtime.block_on(async {
            let mut before: VecDeque<Receipt> = VecDeque::new();
            for batch in work {
                before.push_back(self.journal.append(batch).await.expect("open"));
                if at_a_time <= before.len() {
                    let first = before.pop_front().expect("some");
                    first.await.expect("recorded");
                }
            }
            for receipt in before {
                receipt.await.expect("recorded");
            }
        });
        begun.elapsed()
    }

    /// What it has written.
    pub fn written(&self) -> Written {
        // It is told a moment after the answer.
        std::thread::sleep(Duration::from_millis(20));
        let stats = self.journal.stats();
        Written {
            batches: stats.syncs.count,
            records: stats.records,
            held: stats.bytes,
        }
    }

    pub fn next(&mut self, records: usize) -> Vec<Entry> {
        let mut batch = entries(records);
        let ids = batch.iter().filter_map(|entry| match entry {
            Entry::Effect(effect) => Some(known(effect)),
            _ => None,
        });
        let before = std::mem::replace(&mut self.before, ids.collect());
        batch.push(Entry::Done(before));
        batch
    }
}
