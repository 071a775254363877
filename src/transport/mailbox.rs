//! Messages on their way to one client, bounded in number and bytes.
//!
//! Wide enough for what comes in a burst while the client or its session is
//! busy elsewhere: a client that reads loses nothing. Beyond it messages are
//! dropped, for a client that does not read must not hold memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::subscriptions::Delivery;

/// Messages that wait for one client at most.
const MESSAGES_MAX: usize = 64 * 1024;

/// What they may hold, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a message holds beside its payload, roughly.
const OVERHEAD_BYTES: usize = 256;

/// Where the realtime task puts messages; clones fill one mailbox.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    to: mpsc::Sender<Delivery>,
    held: Arc<AtomicUsize>,
}

/// Where the session takes them from.
#[derive(Debug)]
pub(super) struct Mailbox {
    from: mpsc::Receiver<Delivery>,
    held: Arc<AtomicUsize>,
}

/// An empty mailbox and the way into it.
pub(super) fn mailbox() -> (Sink, Mailbox) {
    with_room(MESSAGES_MAX)
}

/// An empty mailbox for so many messages.
pub(super) fn with_room(messages: usize) -> (Sink, Mailbox) {
    let (to, from) = mpsc::channel(messages);
    let held = Arc::new(AtomicUsize::new(0));
    let sink = Sink {
        to,
        held: Arc::clone(&held),
    };
    (sink, Mailbox { from, held })
}

impl Sink {
    /// Puts a message in; `false` when it was dropped.
    pub(super) fn offer(&self, delivery: Delivery) -> bool {
        let size = size_of(&delivery);
        if BYTES_MAX < self.held.load(Ordering::Relaxed) + size {
            return false;
        }
        // Both ends run on one thread: nothing comes between the two steps.
        self.held.fetch_add(size, Ordering::Relaxed);
        let is_in = self.to.try_send(delivery).is_ok();
        if !is_in {
            self.held.fetch_sub(size, Ordering::Relaxed);
        }
        is_in
    }

    /// Whether nobody will take anything out any more.
    pub(super) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

impl Mailbox {
    /// Takes up to `limit` messages, waiting for the first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was taken.
    pub(super) async fn take(&mut self, taken: &mut Vec<Delivery>, limit: usize) -> usize {
        let count = self.from.recv_many(taken, limit).await;
        let newest = &taken[taken.len() - count..];
        let size = newest.iter().map(size_of).sum();
        self.held.fetch_sub(size, Ordering::Relaxed);
        count
    }

    /// The next message, if there is one.
    #[cfg(test)]
    pub(super) fn try_take(&mut self) -> Option<Delivery> {
        let delivery = self.from.try_recv().ok()?;
        self.held.fetch_sub(size_of(&delivery), Ordering::Relaxed);
        Some(delivery)
    }
}

fn size_of(delivery: &Delivery) -> usize {
    delivery.message.payload.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::subscriptions::Inbound;
    use bytes::Bytes;

    fn delivery(bytes: usize) -> Delivery {
        let message = Inbound {
            channel: "c".into(),
            event: "e".to_owned(),
            message_id: "m".to_owned(),
            payload: Bytes::from(vec![0; bytes]),
            encoding: None,
            received_at_ms: 0,
        };
        Delivery {
            subscription_id: "s".into(),
            message: Arc::new(message),
            continuity_lost: false,
        }
    }

    #[test]
    fn a_burst_of_thousands_waits_for_its_reader() {
        let (sink, mut mailbox) = mailbox();
        assert!((0..20_000).all(|_| sink.offer(delivery(100))));
        assert_eq!(std::iter::from_fn(|| mailbox.try_take()).count(), 20_000);
    }

    #[test]
    fn bytes_are_bounded_and_come_free_as_they_are_taken() {
        let (sink, mut mailbox) = mailbox();
        let megabyte = || delivery(1024 * 1024);
        let taken = std::iter::from_fn(|| sink.offer(megabyte()).then_some(())).count();
        assert_eq!(taken, 15);
        assert!(!sink.offer(megabyte()));
        assert!(mailbox.try_take().is_some());
        assert!(sink.offer(megabyte()));
    }
}
