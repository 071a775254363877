//! Operators that came before the journal was read.
//!
//! Whoever does not wait any more was told so: what they asked for takes no room
//! and is not done later.

use super::super::super::Query;

/// Requests that may wait for the journal to be read.
const MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: Vec<Query>,
}

impl Early {
    /// Beyond the bound, whoever asks is turned away.
    pub(super) fn push(&mut self, query: Query) {
        self.waiting.retain(|query| !query.is_withdrawn());
        if self.waiting.len() < MAX {
            return self.waiting.push(query);
        }
        query.fail("the outbox is being read, and others wait for that already; try again");
    }

    /// Those who wait still, in the order they came.
    pub(super) fn take(&mut self) -> Vec<Query> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|query| !query.is_withdrawn());
        waiting
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

    fn ask(early: &mut Early) -> oneshot::Receiver<OutboxAnswer> {
        let (answer, told) = oneshot::channel();
        early.push(Query::Outbox(OutboxRequest::default(), answer));
        told
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_done() {
        let mut early = Early::default();
        let waits = ask(&mut early);
        drop(ask(&mut early));
        assert_eq!(early.take().len(), 1);
        drop(waits);
        assert!(early.take().is_empty());
    }

    #[test]
    fn who_does_not_wait_any_more_takes_nobodys_place() {
        let mut early = Early::default();
        for _ in 0..MAX {
            drop(ask(&mut early));
        }
        let mut waits: Vec<_> = (0..=MAX).map(|_| ask(&mut early)).collect();
        assert_eq!(early.take().len(), MAX);
        let beyond = waits[MAX].try_recv().expect("an answer");
        assert!(beyond.error.is_some(), "{beyond:?}");
    }
}
