//! The journal with its thread played, on a disk that lies: for simulations.

use std::ops::ControlFlow;
use std::time::Instant;

pub(crate) use super::storage::lying::{Dice, Fault, Lying, Op};
use super::writer::{self, Core, Ends, Now};
use super::{Config, Home, Journal, OpenError, Reading, Recovered, Unrecorded, ends, open_on};

/// What the thread has; it works when it is told to.
pub(crate) struct Played {
    core: Core<Lying>,
    ends: Ends,
}

impl Played {
    /// Opens the journal that `disk` holds.
    pub(crate) fn open(
        disk: &Lying,
        config: &Config,
        (at, ms): (Instant, u64),
    ) -> Result<(Self, Journal, Recovered), OpenError> {
        let (mut core, recovered) =
            open_on(disk.clone(), config, Now::told(at, ms), &Reading::default())?;
        let (ends, journal) = ends(&mut core, Home::default(), None);
        Ok((Self { core, ends }, journal, recovered))
    }

    /// From now on it writes while what it wrote is being synced, wherever it may: a
    /// turn in which nothing is asked ends the first of those syncs.
    pub(crate) fn hurry(&mut self) {
        self.core.hurry();
    }

    /// Does what was asked for, and what is due; whether anything was asked, and
    /// so more may be: what is no append is a turn's last.
    pub(crate) fn turn(&mut self, (at, ms): (Instant, u64)) -> bool {
        let turn = writer::play(&mut self.core, &mut self.ends, Now::told(at, ms));
        matches!(turn, ControlFlow::Continue(true))
    }

    /// Works as long as it is asked to, and ends if somebody waits for that.
    /// Returns what they are told, or `None`.
    pub(crate) fn close(mut self, (at, ms): (Instant, u64)) -> Option<Result<(), Unrecorded>> {
        let now = Now::told(at, ms);
        loop {
            match writer::play(&mut self.core, &mut self.ends, now) {
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => return None,
                ControlFlow::Break(closing) => {
                    return Some(writer::end(self.core, self.ends, closing, now));
                }
            }
        }
    }

    /// Whether all that was asked for, and written, is there for good.
    pub(crate) fn has_all(&self) -> bool {
        self.core.is_durable() && !self.core.owes() && !self.core.has_failed()
    }

    /// When it has something to do by itself.
    pub(crate) fn due(&self, (at, ms): (Instant, u64)) -> Instant {
        self.core.due(Now::told(at, ms))
    }
}
