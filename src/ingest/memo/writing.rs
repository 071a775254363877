//! Since when a write of the memo has not ended, for those who look from another
//! thread: the one that writes is held up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::{self, BootTime};

/// After how long a disk that does not answer is told of: far longer than a slow
/// one takes.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// Clones look at the same memo.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Writing {
    path: Arc<Path>,
    /// Milliseconds since the machine's start; zero while nothing is written.
    since_ms: Arc<AtomicI64>,
}

impl Writing {
    /// Nothing is written, here.
    pub(super) fn to(path: &Path) -> Self {
        Self {
            path: path.into(),
            since_ms: Arc::default(),
        }
    }

    pub(super) fn begin(&self, now: BootTime) {
        self.since_ms.store(now.to_ms().max(1), Relaxed);
    }

    pub(super) fn end(&self) {
        self.since_ms.store(0, Relaxed);
    }

    /// What there is to say of a disk that hangs.
    pub(in crate::ingest) fn why_hung(&self, now: BootTime) -> Option<String> {
        let since_ms = self.since_ms.load(Relaxed);
        let held_up = now.since(BootTime::from_ms(since_ms));
        let is_told = since_ms != 0 && TOLD_AFTER <= held_up;
        is_told.then(|| {
            let held_up = u64::try_from(held_up.as_millis()).unwrap_or(u64::MAX);
            let since = clock::utc(clock::now_ms().saturating_sub(held_up));
            let path = self.path.display();
            format!(
                "the disk of {path} has not answered since {since}, and nothing is published or answered before it does: look whether it, or its mount, hangs"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_does_not_end_is_told_of_until_it_does() {
        let (writing, at) = (Writing::to(Path::new("memo")), BootTime::from_ms(7));
        let after = |seconds| at.after(Duration::from_secs(seconds));
        assert_eq!(writing.why_hung(after(60)), None, "nothing is written");
        let elsewhere = writing.clone();
        writing.begin(at);
        assert_eq!(elsewhere.why_hung(after(4)), None, "that is slow");
        let why = elsewhere.why_hung(after(5)).expect("it hangs");
        assert!(
            why.starts_with("the disk of memo has not answered since "),
            "{why}"
        );
        writing.end();
        assert_eq!(elsewhere.why_hung(after(60)), None);
    }
}
