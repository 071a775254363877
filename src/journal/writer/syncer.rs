//! The thread that syncs while the journal's own writes on.
//!
//! It begins with the first sync it is asked for, and ends with the journal. What
//! was asked for while it was at work is one sync: the last covers all before it.
//! After a failure it never syncs the same file again, as nobody may: what was
//! asked of it fails.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tracing::warn;

use super::super::storage::LaterSync;
use crate::report::Report;

/// See the module.
pub(super) struct Syncer<P> {
    orders: Option<Sender<Order<P>>>,
    done: Receiver<Synced>,
    /// Whether there can be no thread: that is not tried again.
    is_alone: bool,
    /// Tests do them one by one, when they come to it.
    #[cfg(test)]
    told: Option<std::collections::VecDeque<P>>,
}

struct Order<P> {
    sync: P,
    /// Which file it is, among all there ever were.
    segment: u64,
}

/// What an order came to, in the order of orders.
pub(super) struct Synced {
    pub(super) result: io::Result<()>,
    /// How long the disk took, if it was asked for this one.
    pub(super) took: Option<Duration>,
}

impl Synced {
    fn by(sync: impl LaterSync) -> Self {
        let begun = Instant::now();
        Self {
            result: sync.sync(),
            took: Some(begun.elapsed()),
        }
    }

    fn failed(error: io::Error) -> Self {
        Self {
            result: Err(error),
            took: None,
        }
    }
}

impl<P: LaterSync> Syncer<P> {
    pub(super) fn new() -> Self {
        Self {
            orders: None,
            done: crossbeam_channel::never(),
            is_alone: false,
            #[cfg(test)]
            told: None,
        }
    }

    /// Where it tells what became of each order.
    pub(super) fn done(&self) -> &Receiver<Synced> {
        &self.done
    }

    /// Whether there is somebody to ask.
    pub(super) fn is_ready(&mut self) -> bool {
        #[cfg(test)]
        if self.told.is_some() {
            return true;
        }
        if self.orders.is_none() && !self.is_alone {
            self.begin();
        }
        self.orders.is_some()
    }

    /// Whether there is somebody to ask, or may be.
    pub(super) fn can_work(&self) -> bool {
        !self.is_alone
    }

    fn begin(&mut self) {
        let (orders, queue) = unbounded();
        let (tell, done) = unbounded();
        let thread = std::thread::Builder::new().name("journal-sync".into());
        if let Err(error) = thread.spawn(move || work(&queue, &tell)) {
            warn!(error = %Report(&error), "The journal has no thread that syncs while it writes; it goes on without.");
            self.is_alone = true;
            return;
        }
        (self.orders, self.done) = (Some(orders), done);
    }

    /// Asks for it; its answer comes by [`Self::done`].
    pub(super) fn order(&mut self, sync: P, segment: u64) {
        #[cfg(test)]
        if let Some(told) = &mut self.told {
            return told.push_back(sync);
        }
        if let Some(orders) = &self.orders {
            // Without a thread the wait for its answer ends at once.
            _ = orders.send(Order { sync, segment });
        }
    }

    /// Waits for the next answer.
    pub(super) fn wait(&mut self) -> Synced {
        #[cfg(test)]
        if let Some(told) = &mut self.told {
            let took = Some(Duration::ZERO);
            let result = told.pop_front().map(LaterSync::sync);
            let result = result.unwrap_or_else(|| Err(gone()));
            return Synced { result, took };
        }
        self.done.recv().unwrap_or_else(|_| {
            // Whoever waits for more hears the same.
            self.orders = None;
            self.is_alone = true;
            Synced::failed(gone())
        })
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that syncs is gone")
}

fn work<P: LaterSync>(queue: &Receiver<Order<P>>, tell: &Sender<Synced>) {
    // The segment whose sync failed, and how.
    let mut poisoned = None;
    while let Ok(mut order) = queue.recv() {
        // They are of one segment: the next is begun when all were answered.
        let mut covered = 0;
        while let Ok(next) = queue.try_recv() {
            order = next;
            covered += 1;
        }
        let Order { sync, segment } = order;
        let first = match poisoned {
            Some((failed, kind)) if failed == segment => Synced::failed(io::Error::from(kind)),
            _ => Synced::by(sync),
        };
        let failed = first.result.as_ref().err().map(io::Error::kind);
        if let Some(kind) = failed {
            poisoned = Some((segment, kind));
        }
        let others = (0..covered).map(|_| Synced {
            result: failed.map_or(Ok(()), |kind| Err(kind.into())),
            took: None,
        });
        for synced in std::iter::once(first).chain(others) {
            if tell.send(synced).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
impl<P: LaterSync> Syncer<P> {
    /// One whose syncs are done when they are waited for.
    pub(super) fn told() -> Self {
        Self {
            told: Some(std::collections::VecDeque::new()),
            ..Self::new()
        }
    }

    /// One without a thread; perhaps it `was_there`, and is gone.
    pub(super) fn without(was_there: bool) -> Self {
        Self {
            orders: was_there.then(|| unbounded().0),
            done: unbounded().1,
            is_alone: !was_there,
            told: None,
        }
    }
}

#[cfg(test)]
mod tests;
