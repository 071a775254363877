//! Somebody who looks at the outbox, and wants things of it.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;

use super::super::*;
use super::Kept;
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

/// What an operator wants, of which effects.
pub(super) struct Asked {
    pub(super) verb: OutboxVerb,
    pub(super) ids: BTreeSet<EffectId>,
    answer: Answer,
}

type Answer = tokio::sync::oneshot::Receiver<OutboxAnswer>;

impl Kept {
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
        let Some(Asked { verb, ids, .. }) = self.asked.take() else {
            return Vec::new();
        };
        assert_eq!(answer.refused, [""; 0]);
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
        if let Some(life) = &self.life {
            _ = life.journal.compact().now_or_never();
        }
    }
}

impl World {
    /// Somebody looks at the dead letters.
    pub(in super::super) fn operate(&mut self) {
        if !self.is_troubled {
            return;
        }
        let pause = self.random.between(1, 6000);
        self.after(pause * MS, Event::Operator);
        let (drops, compacts) = (self.random.chance(400), self.random.chance(200));
        let Some(kept) = self.falco.kept().filter(|kept| kept.asked.is_none()) else {
            return;
        };
        if compacts {
            kept.compact();
        }
        let Some(dead) = kept.dead().filter(|dead| !dead.is_empty()) else {
            return;
        };
        let (verb, ids) = if drops {
            (OutboxVerb::Drop, dead.into_iter().take(2).collect())
        } else {
            (OutboxVerb::Requeue, dead)
        };
        let answer = kept.ask(verb, &ids);
        kept.asked = answer.map(|answer| Asked { verb, ids, answer });
    }
}
