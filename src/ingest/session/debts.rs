//! What a session owes its daemon an answer for, and whether that is too much.
//!
//! What stands still is not counted: it may do so for long, and other effects
//! come behind it. Nothing more is taken, however little is owed, while too much of
//! it waits for the outcome of another.

use tokio::sync::watch;

use super::super::dispatcher::News;
use crate::delivery::Amount;

/// What a connection may have unanswered, without what stands still.
const GOING_MAX: Amount = Amount {
    effects: 4096,
    bytes: 8 * 1024 * 1024,
};

/// The same with what stands still: half of what all lanes hold.
pub(super) const OWED_MAX: Amount = Amount {
    effects: 32_768,
    bytes: 128 * 1024 * 1024,
};

/// See the module.
#[derive(Debug)]
pub(in crate::ingest) struct Debts {
    owed: Amount,
    /// How it stands with that.
    news: watch::Receiver<News>,
    /// As far as that was looked at: whether it has to wait.
    crowds: bool,
}

impl Debts {
    /// None yet.
    pub(in crate::ingest) fn new(news: watch::Receiver<News>) -> Self {
        Self {
            owed: Amount::default(),
            news,
            crowds: false,
        }
    }

    /// Looks whether it has to wait; not for every frame.
    pub(in crate::ingest) fn look(&mut self) {
        self.crowds = self.news.borrow().crowds;
    }

    /// How many effects are not answered.
    pub(super) fn len(&self) -> usize {
        self.owed.effects
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An effect of so many bytes has come.
    pub(in crate::ingest) fn add(&mut self, bytes: usize) {
        self.owed += Amount::one(bytes);
    }

    /// It was answered.
    pub(in crate::ingest) fn settle(&mut self, bytes: usize) {
        self.owed -= Amount::one(bytes);
    }

    /// Nobody will answer any of them.
    pub(super) fn write_off(&mut self) {
        self.owed = Amount::default();
    }

    /// Whether more may be taken from the daemon.
    pub(in crate::ingest) fn are_few(&self) -> bool {
        if self.crowds {
            return false;
        }
        if self.owed.is_below(GOING_MAX) {
            return true;
        }
        let still = self.news.borrow().still;
        let going = Amount {
            effects: self.owed.effects.saturating_sub(still.effects),
            bytes: self.owed.bytes.saturating_sub(still.bytes),
        };
        going.is_below(GOING_MAX) && self.owed.is_below(OWED_MAX)
    }

    /// Waits until it stands otherwise than before. Cancel safe.
    pub(super) async fn moved(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(effects: usize) -> Amount {
        Amount { effects, bytes: 0 }
    }

    fn still(still: Amount) -> News {
        News {
            still,
            ..News::default()
        }
    }

    fn owing(effects: usize, still: usize) -> bool {
        let (_tell, news) = watch::channel(self::still(self::effects(still)));
        let mut debts = Debts::new(news);
        for _ in 0..effects {
            debts.add(0);
        }
        debts.are_few()
    }

    #[test]
    fn what_stands_still_is_not_counted_up_to_the_bound_for_all() {
        assert!(owing(GOING_MAX.effects - 1, 0) && !owing(GOING_MAX.effects, 0));
        assert!(owing(GOING_MAX.effects, 1) && !owing(GOING_MAX.effects + 1, 1));
        let most = OWED_MAX.effects;
        assert!(owing(most - 1, most - 1) && !owing(most, most));
    }

    #[test]
    fn bytes_count_like_effects() {
        let (tell, news) = watch::channel(News::default());
        let mut debts = Debts::new(news);
        debts.add(GOING_MAX.bytes);
        assert!(!debts.are_few());
        tell.send_replace(still(Amount::one(GOING_MAX.bytes)));
        assert!(debts.are_few());
        debts.add(OWED_MAX.bytes - GOING_MAX.bytes);
        tell.send_replace(still(Amount {
            effects: 2,
            bytes: OWED_MAX.bytes,
        }));
        assert!(!debts.are_few(), "it is too much in all");
        debts.settle(GOING_MAX.bytes);
        assert!(debts.are_few());
    }

    #[test]
    fn who_crowds_out_others_waits_however_little_is_owed() {
        let (tell, news) = watch::channel(News::default());
        let mut debts = Debts::new(news);
        for crowds in [true, false] {
            tell.send_modify(|news| news.crowds = crowds);
            debts.look();
            assert_eq!(debts.are_few(), !crowds);
        }
    }
}
