//! What the journal held when it was opened.

use std::collections::BTreeMap;
use std::time::Duration;
use std::vec::IntoIter;

use hashbrown::HashSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::super::super::memo::Published;
use super::super::ways::Ways;
use super::write::{LARGE, REASON_BYTES_MAX};
use super::{Keeper, parking};
use crate::clock::{self, BootTime};
use crate::delivery::{Admission, Class, Done, Failure, Home, shortened};
use crate::journal::{self, Live, Note, Recovered, Settled, State};
use crate::memory;

/// Effects and ids taken over at a time: a millisecond or two, so that
/// nobody waits long for an answer.
const AT_ONCE: usize = 200;

/// What was read and is not taken over yet.
#[derive(Debug)]
pub(super) struct Restoring {
    done: IntoIter<journal::Done>,
    live: IntoIter<Live>,
    notes: Vec<Note>,
    /// When it was read, by either clock.
    read_at: (BootTime, u64),
    /// There was much of it.
    was_large: bool,
}

/// Effects whose route is not configured any more.
#[derive(Debug, Default)]
pub(super) struct Unrouted {
    pub(super) count: u64,
    /// Those that nobody was told of, by route.
    untold: BTreeMap<Box<str>, u64>,
}

impl Keeper {
    /// A route that is gone, and how many effects became dead letters by that.
    pub(in super::super) fn poll_unrouted(&mut self) -> Option<(Box<str>, u64)> {
        let has_read = self.has_read();
        has_read.then(|| self.unrouted.untold.pop_first()).flatten()
    }

    /// What is not there any more although it held effects; once.
    pub(in super::super) fn poll_missed(&mut self) -> Option<Box<str>> {
        self.missed.take()
    }

    /// Begins to take over what an earlier run has left.
    pub(in super::super) fn handle_recovered(&mut self, recovered: Recovered) {
        tell(&recovered.report);
        self.missed = self.stage.journal().and_then(|it| it.stats().missed);
        self.is_unproven = !recovered.is_durable;
        let (done, live) = (recovered.done, recovered.live);
        self.restoring = Some(Restoring {
            was_large: LARGE < done.len() + live.len(),
            done: done.into_iter(),
            live: live.into_iter(),
            notes: recovered.notes,
            read_at: (BootTime::now(), clock::now_ms()),
        });
    }

    /// Takes over some more of it, in its order.
    pub(in super::super) fn handle_restoring<T>(
        &mut self,
        ways: &Ways,
        admission: &mut Admission<T>,
    ) {
        let Some(mut restoring) = self.restoring.take() else {
            return;
        };
        let (now, now_ms) = restoring.read_at;
        let mut left = AT_ONCE;
        for done in restoring.done.by_ref().take(AT_ONCE) {
            let age = Duration::from_millis(now_ms.saturating_sub(done.at_ms));
            admission.handle_done_elsewhere(&done.settled.into(), now.before(age));
            left -= 1;
        }
        for live in restoring.live.by_ref().take(left) {
            self.restore(live, ways, admission);
        }
        if restoring.done.len() + restoring.live.len() > 0 {
            self.restoring = Some(restoring);
            return;
        }
        self.published_before = HashSet::new();
        let Restoring {
            done,
            live,
            notes,
            was_large,
            ..
        } = restoring;
        drop((done, live));
        if was_large {
            memory::give_back();
        }
        if let Some(inbox) = self.notes.take() {
            _ = inbox.send(notes);
        }
        if self.outbox.backlog().open > 0 {
            self.resume_at = Some(Instant::now() + self.config.resume_grace);
        }
    }

    fn restore<T>(&mut self, live: Live, ways: &Ways, admission: &mut Admission<T>) {
        if self.is_published(&live) {
            let done = Done {
                id: live.id,
                known_by: live.known_by,
                fingerprint: live.fingerprint,
            };
            admission.handle_done_elsewhere(&done, BootTime::now());
            self.batch.add_done(done.into());
            return;
        }
        admission.handle_kept_elsewhere(live.id);
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
            State::Dead(mut letter) => {
                letter.error = shortened(&letter.error, REASON_BYTES_MAX).into();
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
                self.unrouted.count += 1;
                *self.unrouted.untold.entry(name).or_default() += 1;
            }
        }
    }
}

impl Keeper {
    /// Whether it was published, and the journal had not taken that yet.
    fn is_published(&self, live: &Live) -> bool {
        let (id, arrived_ms) = (live.id, live.arrived_ms);
        let published = Published { id, arrived_ms };
        self.published_before.contains(&published)
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
