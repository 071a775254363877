//! How much has happened lately.

/// The longest window, in seconds.
pub(super) const WINDOW_MAX: u64 = 60;

/// The seconds of the longest window, and the one that runs.
const SECONDS: usize = 61;

/// Counts by second; nobody has to wake it when a second is over.
#[derive(Debug)]
pub(super) struct Rate {
    counts: [u64; SECONDS],
    /// The last second in which something happened.
    newest: u64,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            counts: [0; SECONDS],
            newest: 0,
        }
    }

    /// Something happened in this second; seconds never go back.
    pub(super) fn count(&mut self, second: u64) {
        if self.newest < second {
            let unused = (self.newest + 1).max(second.saturating_sub(WINDOW_MAX));
            for between in unused..=second {
                self.counts[place(between)] = 0;
            }
            self.newest = second;
        }
        self.counts[place(second)] += 1;
    }

    /// How much happened in so many whole seconds before `second`.
    pub(super) fn last(&self, window: u64, second: u64) -> u64 {
        let oldest = second.saturating_sub(window.min(WINDOW_MAX));
        let known = (oldest..second).filter(|at| *at <= self.newest);
        known.map(|at| self.counts[place(at)]).sum()
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_whole_seconds_of_its_window_and_forgets_older_ones() {
        let mut rate = Rate::new();
        (0..100).for_each(|second| (0..=second).for_each(|_| rate.count(second)));
        assert_eq!(rate.last(1, 99), 98 + 1);
        assert_eq!(rate.last(2, 99), 98 + 1 + 97 + 1);
        assert_eq!(
            rate.last(60, 99),
            (39..99).map(|second| second + 1).sum::<u64>()
        );
        assert_eq!(rate.last(2, 100), 99 + 1 + 98 + 1);
        assert_eq!(rate.last(60, 200), 0, "it is long ago");
        rate.count(1000);
        assert_eq!(rate.last(60, 1001), 1, "what was before is gone");
    }
}
