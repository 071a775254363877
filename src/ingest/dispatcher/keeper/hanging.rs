//! A disk that hangs: it answers neither well nor badly.
//!
//! A frozen filesystem, a mount whose server is gone, or a drive that tries again
//! and again keeps a write or a sync from ending, for minutes or for good, and
//! nobody can take back what it was given. Daemons are answered within their time
//! all the same, with `unrecorded`: whether what they sent is kept, nobody knows. So
//! they are when Falco stops, with `shutting_down`: a process does not end, nor are
//! its sockets closed, before such a disk has answered.
//!
//! ```text
//!           for as long as an effect may wait             the disk answers
//! answering ────────────────────────────────▶ hung ──────────────────────────▶ answering
//!              all that wait are answered       │ what comes is refused, or
//!                                               └─ goes around, as configured
//! ```
//!
//! Only time in which Falco runs counts. After a stop of the whole process (a
//! signal, a suspended machine) what the disk has answered is heard first, and a disk
//! that has not is waited for a moment longer.
//!
//! All this until the memo has something to note: where that is on the same disk, as it
//! is unless somebody has mounted another, Falco stands still then.
//!
//! What the journal has of it stays in its place: if the disk takes it after all, it
//! is published in its order, and is acked once its daemon sends it again. So a lane
//! of which something is with the disk takes nothing meanwhile, also not around it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::batch::{Fresh, Given, Pending, What};
use super::{Event, Keeper};
use crate::clock::{self, BootTime};
use crate::delivery::{Admission, Class, Failure};
use crate::protocol::envelope::SideEffect;

/// Of what a disk was given that hangs.
pub(super) const UNSURE: &str = "it is with the disk already, which has not answered";

/// After how long a disk that does not answer is told of: far longer than a slow
/// one takes.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// A wake-up so late tells that Falco did not run; then its journal did not either.
const AWAY: Duration = Duration::from_secs(1);

impl Keeper {
    /// What the disk has answered to the oldest append, if it has by now.
    pub(in super::super) fn answered(&mut self) -> Option<Event> {
        let recorded = self.pending.front_mut()?.receipt.now()?;
        Some(Event::Recorded(recorded.map(drop)))
    }

    /// When somebody has waited for the disk for as long as anybody may.
    pub(in super::super) fn hung_at(&self) -> Option<Instant> {
        let mut given = self
            .pending
            .iter()
            .filter_map(|pending| match &pending.what {
                What::Effects { fresh, .. } => fresh.first(),
                What::Rest { .. } => None,
            });
        // Those of the next append have come later.
        let first = given.next().or_else(|| self.batch.fresh.first())?;
        // One that came late to the disk is no sign that this hangs.
        let front = self.pending.front();
        let held = front.map(|pending| self.waited_since(pending.given) + TOLD_AFTER);
        Some(held.map_or(first.answer_by, |held| held.max(first.answer_by)))
    }

    /// Since when the disk could have answered what it was given then.
    fn waited_since(&self, given: Given) -> Instant {
        self.away_until
            .map_or(given.at, |until| until.max(given.at))
    }

    /// Why effects wait, if the disk does not answer.
    pub(super) fn why_hung(&self) -> Option<String> {
        let given = self.pending.front()?.given;
        let is_late = TOLD_AFTER <= self.waited_since(given).elapsed();
        is_late.then(|| {
            let since = clock::utc(given.at_ms);
            format!("its disk has not answered since {since}: look whether it, or its mount, hangs")
        })
    }

    /// Answers all that wait for a disk that hangs.
    pub(in super::super) fn handle_hanging<T>(
        &mut self,
        now: Instant,
        admission: &mut Admission<T>,
    ) {
        let Some(at) = self.hung_at().filter(|at| *at <= now) else {
            return;
        };
        if AWAY <= now - at {
            self.away_until = Some(now);
            return;
        }
        self.has_hung = true;
        let why = self.why_hung().unwrap_or_else(|| UNSURE.to_owned());
        error!(%why, "The outbox does not record; what waits for it is answered.");
        self.answer_waiting(Class::Unrecorded, &why, admission);
    }

    /// Falco stops, and waits for its disk no longer.
    pub(in super::super) fn handle_stop_over<T>(&mut self, admission: &mut Admission<T>) {
        let why = "Falco is stopping, and its disk has not answered";
        self.answer_waiting(Class::ShuttingDown, why, admission);
    }

    fn answer_waiting<T>(&mut self, class: Class, why: &str, admission: &mut Admission<T>) {
        let text = format!("{why}; it may be kept all the same");
        let failure = Failure::new(class, text);
        let at = BootTime::now();
        for pending in &mut self.pending {
            let What::Effects { fresh, unsure, .. } = &mut pending.what else {
                continue;
            };
            self.unrecorded += fresh.len() as u64;
            for Fresh { admitted, .. } in fresh.drain(..) {
                unsure.push(admitted.effect.clone());
                admission.handle_refused(admitted, failure.clone(), at);
            }
        }
        // The journal has nothing of these.
        self.batch.effects.clear();
        self.batch.noted.clear();
        let failure = Failure::new(class, why);
        for Fresh { admitted, .. } in std::mem::take(&mut self.batch.fresh) {
            self.unrecorded += 1;
            self.outbox.handle_unrecorded(admitted.effect.id);
            admission.handle_refused(admitted, failure.clone(), at);
        }
    }

    /// Whether the journal may still take what daemons were told it may not have.
    pub(super) fn is_unsure(&self) -> bool {
        let is_unsure = |pending: &Pending| matches!(&pending.what, What::Effects { unsure, .. } if !unsure.is_empty());
        self.pending.iter().any(is_unsure)
    }

    /// What nobody waits for any more is kept after all.
    pub(super) fn recorded_late(&mut self, effects: Vec<SideEffect>) {
        for effect in effects {
            self.outbox.handle_recorded(effect.id, effect);
        }
    }
}
