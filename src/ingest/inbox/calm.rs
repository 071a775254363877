//! Which files nobody has changed for a while, by a clock that only goes on:
//! the times in a directory are of another clock, and may lie ahead of it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::progress::Inode;

/// How long a dropped file must not have changed before it counts as complete.
const CALM: Duration = Duration::from_secs(1);

/// What a write changes about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub bytes: u64,
    /// Seconds and nanoseconds, as the file system says them.
    pub modified: (i64, i64),
}

/// Since when each file looks as it does.
#[derive(Debug, Default)]
pub(super) struct Calm(HashMap<Inode, (Shape, Instant)>);

impl Calm {
    /// Whether a file that looks like this now has done so for a while.
    pub(super) fn sees(&mut self, inode: Inode, shape: Shape, now: Instant) -> bool {
        let seen = self.0.entry(inode).or_insert((shape, now));
        if seen.0 != shape {
            *seen = (shape, now);
        }
        CALM <= now.saturating_duration_since(seen.1)
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
    fn a_file_is_calm_once_it_was_seen_unchanged_for_a_while_whatever_its_time_says() {
        let mut calm = Calm::default();
        let inode = Inode { ino: 1, born: 2 };
        let begin = Instant::now();
        let ahead = Shape {
            bytes: 9,
            modified: (i64::MAX, 0),
        };
        assert!(!calm.sees(inode, ahead, begin));
        assert!(calm.sees(inode, ahead, begin + CALM));
        for changed in [
            Shape { bytes: 8, ..ahead },
            Shape {
                modified: (0, 0),
                ..ahead
            },
        ] {
            assert!(!calm.sees(inode, changed, begin + CALM * 2), "{changed:?}");
        }
        calm.retain(&HashSet::new());
        assert!(!calm.sees(inode, ahead, begin + CALM * 9), "it is another");
    }
}
