//! Somebody who looks at the outbox, and wants things of it.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;

use super::super::*;
use super::Program;
use crate::protocol::id::EffectId;
use crate::protocol::lane::{LaneAnswer, LaneRequest, LaneVerb, ParkedLane};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

/// What an operator wants, of which effects.
pub(super) struct Asked {
    pub(super) verb: OutboxVerb,
    pub(super) ids: BTreeSet<EffectId>,
    answer: Answer,
}

type Answer = tokio::sync::oneshot::Receiver<OutboxAnswer>;

impl Program {
    fn ask(&mut self, verb: OutboxVerb, ids: &BTreeSet<EffectId>) -> Option<Answer> {
        let life = self.life.as_mut()?;
        let request = OutboxRequest {
            verb,
            ids: ids.iter().map(ToString::to_string).collect(),
            all: verb == OutboxVerb::Requeue,
            dead_only: false,
            limit: 1000,
            skip: 0,
        };
        Some(life.falco.ask(&self.time, request))
    }

    /// What is kept, and whether it is dead.
    pub(super) fn list(&mut self) -> Option<BTreeMap<EffectId, bool>> {
        let answer = self.ask(OutboxVerb::List, &BTreeSet::new())?.try_recv();
        let records = answer.expect("at once").records.into_iter();
        let listed = records.map(|record| {
            let id = record.id.parse().expect("an id");
            (id, record.dead.is_some())
        });
        Some(listed.collect())
    }

    pub(super) fn dead(&mut self) -> Option<BTreeSet<EffectId>> {
        let dead = self.list()?.into_iter().filter(|(_, is_dead)| *is_dead);
        Some(dead.map(|(id, _)| id).collect())
    }

    /// An operator was answered: what was dropped.
    pub(super) fn decision(&mut self) -> Vec<EffectId> {
        let answer = self.asked.as_mut().map(|asked| asked.answer.try_recv());
        let Some(Ok(answer)) = answer else {
            return Vec::new();
        };
        let Some(Asked { verb, mut ids, .. }) = self.asked.take() else {
            return Vec::new();
        };
        for refused in &answer.refused {
            let (id, why) = refused.split_once(": ").expect("an id and why");
            let id = id.parse().expect("an id");
            assert_eq!(why, "it is being changed already; try again");
            assert!(
                self.opened.contains(&id) && ids.remove(&id),
                "by whom? {id}"
            );
        }
        if answer.error.is_some() {
            let dead = self.dead().expect("it runs");
            assert!(ids.is_subset(&dead), "a refused wish changed something");
            if verb == OutboxVerb::Drop {
                self.undecided.extend(ids);
            }
            return Vec::new();
        }
        self.undecided.clear();
        assert_eq!(answer.changed, ids.len() as u64);
        match verb {
            OutboxVerb::Drop => ids.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What was asked of it when it ended, and may have happened or not.
    pub(super) fn undecided(&mut self) -> Vec<EffectId> {
        let mut dropped = std::mem::take(&mut self.undecided);
        let asked = self.asked.take().filter(|a| a.verb == OutboxVerb::Drop);
        dropped.extend(asked.into_iter().flat_map(|asked| asked.ids));
        dropped.into_iter().collect()
    }

    /// What can be gained of its space is to be gained now.
    fn compact(&self) {
        if let Some(held) = self.life.as_ref().and_then(|life| life.held.as_ref()) {
            _ = held.journal.compact().now_or_never();
        }
    }

    fn ask_lanes(&mut self, request: LaneRequest) -> Option<LaneAnswer> {
        let life = self.life.as_mut()?;
        life.falco.ask_lanes(&self.time, request).try_recv().ok()
    }

    /// The lanes that are parked.
    fn parked(&mut self) -> Vec<ParkedLane> {
        let request = LaneRequest {
            limit: 100,
            ..LaneRequest::default()
        };
        let answer = self.ask_lanes(request).unwrap_or_default();
        let mut lanes = answer.lanes;
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        lanes
    }

    fn open_lane(&mut self, lane: &ParkedLane, verb: LaneVerb) {
        self.opened.insert(lane.effect_id.parse().expect("an id"));
        self.ask_lanes(LaneRequest {
            verb,
            lanes: vec![lane.lane.clone()],
            route: lane.route.clone(),
            ..LaneRequest::default()
        });
    }
}

impl World {
    /// Somebody looks at the lanes that are parked, as long as there may be any.
    pub(in super::super) fn open_lanes(&mut self) {
        let is_over = self.daemon.is_done() && self.falco.program.is_drained();
        if is_over && !self.is_troubled {
            return;
        }
        let pause = self.random.between(1, 4000);
        self.after(pause * MS, Event::Lanes);
        let discards = self.random.chance(300);
        for lane in self.falco.program.parked() {
            if self.is_troubled && self.random.chance(500) {
                continue;
            }
            let id = lane.effect_id.parse().expect("an id");
            self.record.let_go(id);
            let verb = if discards {
                // No answer tells when.
                self.record.dropped(&[id]);
                LaneVerb::Discard
            } else {
                LaneVerb::Resume
            };
            self.falco.program.open_lane(&lane, verb);
        }
    }

    /// Somebody looks at the dead letters.
    pub(in super::super) fn operate(&mut self) {
        if !self.is_troubled {
            return;
        }
        let pause = self.random.between(1, 6000);
        self.after(pause * MS, Event::Operator);
        let (drops, compacts) = (self.random.chance(400), self.random.chance(200));
        let program = &mut self.falco.program;
        if program.asked.is_some() {
            return;
        }
        if compacts {
            program.compact();
        }
        let Some(dead) = program.dead().filter(|dead| !dead.is_empty()) else {
            return;
        };
        let (verb, ids) = if drops {
            (OutboxVerb::Drop, dead.into_iter().take(2).collect())
        } else {
            (OutboxVerb::Requeue, dead)
        };
        for id in ids.iter().filter(|_| drops) {
            self.record.let_go(*id);
        }
        let answer = program.ask(verb, &ids);
        program.asked = answer.map(|answer| Asked { verb, ids, answer });
    }
}
