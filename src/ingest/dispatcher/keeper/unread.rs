//! An outbox that is not read for long: its disk hangs, or there is very much of it.
//!
//! Until it is read nobody knows what it holds of which session, so nothing is taken,
//! also not around it: effects wait with their connections. Once the first may have
//! waited for as long as an effect may, what waits and what comes is refused, until
//! it is read.
//!
//! ```text
//!          for as long as an effect may wait           it is read
//! waiting ──────────────────────────────────▶ overdue ────────────▶ taking
//!     └───────────────────── it is read ─────────────────────────────▲
//! ```

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::Keeper;
use super::batch::Given;
use super::offer::Offer;
use crate::clock;
use crate::delivery::{Admitted, Class, Failure};
use crate::protocol::outbox::RecoveryStatus;

/// How long it may take to read the journal.
#[derive(Debug)]
pub(super) struct Unread {
    begun: Given,
    patience: Duration,
    /// It took longer.
    is_over: bool,
}

impl Unread {
    /// Reading begins, for which an effect that comes now may wait so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            begun: Given::now(),
            patience,
            is_over: false,
        }
    }
}

impl Keeper {
    /// When nobody waits any longer for the journal to be read.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        let Unread {
            begun, patience, ..
        } = self.unread;
        let waits = !self.has_read() && !self.unread.is_over;
        waits.then(|| begun.at + patience)
    }

    /// Whether what comes is refused because the journal is not read.
    pub(super) fn is_overdue(&self) -> bool {
        self.unread.is_over && !self.has_read()
    }

    /// Looks whether it takes too long.
    pub(in super::super) fn handle_unread(&mut self, now: Instant) {
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.unread.is_over = true;
            let why = self.why_unread();
            error!(%why, "The outbox is not read in time; what comes is refused.");
        }
    }

    /// How far it is with that.
    pub(super) fn recovering(&self) -> RecoveryStatus {
        RecoveryStatus {
            records: self.reading.records(),
            bytes: self.reading.bytes(),
            bytes_all: self.reading.bytes_all(),
        }
    }

    pub(super) fn why_unread(&self) -> String {
        let since = clock::utc(self.unread.begun.at_ms);
        let far = self.recovering();
        format!(
            "it is being read since {since} ({far}): if it gets no further, its disk, or its mount, hangs"
        )
    }

    /// Nothing is known of its session.
    pub(super) fn refuse_unread(&mut self, admitted: Admitted) -> Offer {
        self.unrecorded += u64::from(self.config.records);
        let class = if self.config.records {
            Class::Unrecorded
        } else {
            Class::Throttled
        };
        Offer::Refused(admitted, Failure::new(class, self.why_unread()))
    }
}
