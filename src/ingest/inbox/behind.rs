//! Which files wait for the last line of one before them, and since when.
//!
//! What has just come before a file holds it up no longer than what was there
//! already: so the time is counted for the file that waits. However many come one
//! after the other, it has its turn; and those that have come with them keep
//! theirs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::progress::Inode;

/// How long files wait at most for the last lines of those before them. Must
/// exceed the time after which a file counts as complete, and the time until it
/// is looked at again.
pub(super) const OTHERS_PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Behind(HashMap<Inode, Instant>);

impl Behind {
    /// Whether a file that is held up goes on waiting.
    pub(super) fn waits(&mut self, inode: Inode, now: Instant) -> bool {
        let since = *self.0.entry(inode).or_insert(now);
        now.saturating_duration_since(since) < OTHERS_PATIENCE
    }

    /// A file has its turn; what holds it up from now on does so anew.
    pub(super) fn free(&mut self, inode: Inode) {
        self.0.remove(&inode);
    }

    /// Only these files are there.
    pub(super) fn retain(&mut self, there: &HashSet<Inode>) {
        self.0.retain(|inode, _| there.contains(inode));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_waits_for_those_before_it_no_longer_than_a_while_and_each_for_itself() {
        let [old, new] = [1, 2].map(|ino| Inode { ino, born: 0 });
        let (mut behind, begin) = (Behind::default(), Instant::now());
        assert!(behind.waits(old, begin));
        let moment = Duration::from_millis(1);
        let end = begin + OTHERS_PATIENCE;
        assert!(behind.waits(new, end - moment));
        assert!(behind.waits(old, end - moment));
        assert!(!behind.waits(old, end), "whatever holds it up by now");
        assert!(!behind.waits(old, end), "until its turn has come");
        assert!(behind.waits(new, end), "it has just come");
        behind.free(old);
        assert!(behind.waits(old, end));
        behind.retain(&HashSet::from([old]));
        assert!(behind.waits(new, end + OTHERS_PATIENCE), "it is another");
    }
}
