//! What the journal held when it was opened.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::super::ways::Ways;
use super::{Keeper, parking};
use crate::clock::{self, BootTime};
use crate::delivery::{Admission, Class, Done, Failure, Home};
use crate::journal::{self, Live, Recovered, Settled, State};

impl Keeper {
    /// Takes over what an earlier run has left.
    pub(in super::super) fn handle_recovered<T>(
        &mut self,
        recovered: Recovered,
        ways: &Ways,
        admission: &mut Admission<T>,
    ) {
        tell(&recovered.report);
        let (now, now_ms) = (BootTime::now(), clock::now_ms());
        for done in &recovered.done {
            let age = Duration::from_millis(now_ms.saturating_sub(done.at_ms));
            admission.handle_done_elsewhere(&done.settled.into(), now.before(age));
        }
        if let Some(inbox) = self.notes.take() {
            _ = inbox.send(recovered.notes);
        }
        self.is_unproven = !recovered.is_durable;
        for live in recovered.live {
            self.restore(live, ways);
        }
        if self.outbox.backlog().open > 0 {
            self.resume_at = Some(Instant::now() + self.config.resume_grace);
        }
    }

    fn restore(&mut self, live: Live, ways: &Ways) {
        let route = ways.find(live.route.as_deref());
        let home = Home {
            // A route that is not configured any more is never loaded.
            route: route.unwrap_or(ways.routes().end),
            lane: live.lane,
            known_by: live.known_by,
            fingerprint: live.fingerprint,
            arrived_ms: live.arrived_ms,
        };
        let is_dead = matches!(live.state, State::Dead(_));
        self.outbox.handle_restored(live.id, home, is_dead);
        match live.state {
            State::Dead(letter) => {
                if parking::parks(&letter) {
                    self.outbox.handle_parked(live.id);
                }
                self.letters.insert(live.id, *letter);
            }
            State::Open if route.is_some() => {}
            State::Open => {
                let name = live.route.unwrap_or_default();
                let failure = Failure::new(Class::Rejected, format!("there is no route {name:?}"));
                self.bury(live.id, &failure, 0, false);
            }
        }
    }
}

impl From<Settled> for Done {
    fn from(settled: Settled) -> Self {
        Self {
            id: settled.id,
            known_by: settled.known_by,
            fingerprint: settled.fingerprint,
        }
    }
}

impl From<Done> for Settled {
    fn from(done: Done) -> Self {
        Self {
            id: done.id,
            known_by: done.known_by,
            fingerprint: done.fingerprint,
        }
    }
}

fn tell(report: &journal::Report) {
    let journal::Report {
        records,
        live,
        done,
        dead,
        torn_bytes,
        ..
    } = *report;
    let lost = report.lost();
    if report.is_corrupt() {
        warn!(
            records,
            live,
            done,
            dead,
            torn_bytes,
            lost,
            "The outbox is damaged; what was lost is told by falco outbox verify."
        );
    } else {
        info!(
            records,
            live, done, dead, torn_bytes, "The outbox was read."
        );
    }
}
