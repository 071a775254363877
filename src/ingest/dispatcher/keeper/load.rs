//! What is brought to the lanes, read from the disk if need be.

use std::time::Duration;

use tokio::time::Instant;

use super::super::ways::Ways;
use super::Keeper;
use super::stage;
use crate::delivery::{Class, Failure, Load};
use crate::journal::{Closed, ReadBack, Stored, Unreadable};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

/// How long a lane rests whose effects the disk does not give now.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Effects read from disk at a time.
const READ_MAX: usize = 64;

/// What is being read.
pub(super) struct Loading {
    loads: Vec<(usize, Load<SideEffect>)>,
    pub(super) read: stage::Read,
}

impl std::fmt::Debug for Loading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Brings to the lanes what they have room for.
    pub(in super::super) fn load(&mut self, ways: &mut Ways, now: Instant) {
        if self.loading.is_some() || !self.has_read() || self.resume_at.is_some_and(|at| now < at) {
            return;
        }
        self.resume_at = None;
        if self.read_again_at.take_if(|at| *at <= now).is_some() {
            self.outbox.handle_pause_over();
        }
        let mut unread = Vec::new();
        for route in ways.routes() {
            let way = ways.kept(route);
            while way.lanes.has_room() && unread.len() < READ_MAX {
                let Some(mut load) = self.outbox.poll_load(route, way.lanes.has_slack()) else {
                    break;
                };
                match load.body.take() {
                    Some(body) if unread.is_empty() => way.deliver(body, load.order),
                    body => unread.push((route, Load { body, ..load })),
                }
            }
        }
        self.read(unread);
    }

    fn read(&mut self, loads: Vec<(usize, Load<SideEffect>)>) {
        let Some(journal) = self.stage.journal().filter(|_| !loads.is_empty()) else {
            return;
        };
        let missing = loads.iter().filter(|(_, load)| load.body.is_none());
        let ids = missing.map(|(_, load)| load.id).collect();
        let journal = journal.clone();
        let read = Box::pin(async move { journal.read(ids).await });
        self.loading = Some(Loading { loads, read });
    }

    /// One that is still being read waits again, as if it had not been asked for.
    pub(super) fn take_back_unread(&mut self, id: EffectId) {
        let mut loads = self.loading.iter().flat_map(|loading| &loading.loads);
        if loads.any(|(_, load)| load.id == id) {
            self.outbox.handle_returned(id, None);
        }
    }

    /// What was to be read is here.
    pub(in super::super) fn handle_read(
        &mut self,
        read: Result<Vec<ReadBack>, Closed>,
        ways: &mut Ways,
    ) {
        let Some(loading) = self.loading.take() else {
            return;
        };
        let mut read = read.unwrap_or_default().into_iter();
        for (route, mut load) in loading.loads {
            let body = match load.body.take() {
                Some(body) => Ok(Some(body)),
                // A journal that has ended says nothing of its records.
                None => read
                    .next()
                    .unwrap_or(Err(Unreadable))
                    .map(|stored| stored.map(side_effect)),
            };
            if !self.outbox.is_loaded(&load) {
                // It was accepted late meanwhile.
                continue;
            }
            match body {
                // Behind one that is a dead letter now, its lane may wait.
                Ok(Some(_)) if self.outbox.is_parked(load.id) => {
                    self.outbox.handle_returned(load.id, None);
                }
                // One before it was taken back from the lanes meanwhile.
                Ok(body @ Some(_)) if self.outbox.waits_behind(load.id) => {
                    self.outbox.handle_returned(load.id, body);
                }
                // Behind one that could not be read, its lane keeps its order.
                Ok(body @ Some(_)) if self.outbox.is_paused(load.id) => {
                    self.outbox.handle_unloaded(load.id, body);
                }
                Ok(Some(body)) => ways.kept(route).deliver(body, load.order),
                Ok(None) => {
                    let text = "its record cannot be read any more";
                    let parks = ways.kept(route).lanes.parks();
                    self.bury(load.id, &Failure::new(Class::Unrecorded, text), 0, parks);
                }
                Err(Unreadable) => {
                    self.outbox.handle_unloaded(load.id, None);
                    let again_at = Instant::now() + READ_AGAIN_AFTER;
                    self.read_again_at.get_or_insert(again_at);
                }
            }
        }
    }
}

/// An effect as it was before it was kept.
fn side_effect(stored: Stored) -> SideEffect {
    let effect = stored.effect;
    let operation = &effect.operation;
    SideEffect {
        id: effect.id,
        bytes: operation.body().len() + operation.channel().len() + operation.name().len(),
        lane: effect.lane,
        route: effect.route,
        key: effect.key,
        operation: effect.operation,
        is_ordered: false,
    }
}
