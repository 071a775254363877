//! Stopping and restarting parts by name, and when that is done.

use std::time::Instant;

use tokio::sync::mpsc;

use super::super::chain::{PartId, Prospect, Refused};
use super::super::view::ms;
use super::super::watchers::{Aim, Until};
use super::Supervisor;
use super::requests::refuse;
use crate::protocol::control::{Event, Refusal, StartFailure};

/// What is done to parts by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Stop,
    Restart,
}

impl Supervisor {
    pub(super) fn command_all(
        &mut self,
        deed: Deed,
        at_once: bool,
        events: mpsc::Sender<Event>,
        now: Instant,
    ) {
        match deed {
            Deed::Stop => {
                self.watchers.add(Until::Stopped, events);
                self.stop(at_once, now);
            }
            Deed::Restart => match self.chain.restart_all(now) {
                Ok(()) => {
                    let all = self.chain.parts().map(|(id, _)| id).collect();
                    self.watchers.add_for(all, Aim::Up, events);
                }
                Err(refused) => refuse(&events, Refusal::impossible(refused.to_string())),
            },
        }
    }

    /// Does it to each of the parts called `names`, or to none if there is a
    /// name that is nobody's.
    pub(super) fn command_parts(
        &mut self,
        deed: Deed,
        names: &[String],
        events: mpsc::Sender<Event>,
        now: Instant,
    ) {
        let parts = match self.select(names) {
            Ok(parts) => parts,
            Err(refusal) => return refuse(&events, refusal),
        };
        let mut touched = Vec::new();
        for part in parts {
            match self.command(deed, part, now) {
                Ok(with) => {
                    self.tell_dependents(part, &with, &events);
                    touched.push(part);
                    touched.extend(with);
                }
                // It is as it was wanted.
                Err(Refused::NotRunning { .. }) => {}
                Err(refused) => {
                    return refuse(&events, Refusal::impossible(refused.to_string()));
                }
            }
        }
        let aim = match deed {
            Deed::Stop => Aim::Down(now),
            Deed::Restart => Aim::Up,
        };
        self.watchers.add_for(touched, aim, events);
    }

    fn command(&mut self, deed: Deed, part: PartId, now: Instant) -> Result<Vec<PartId>, Refused> {
        match deed {
            Deed::Stop => self.chain.stop_part(part, now),
            Deed::Restart => self.chain.restart(part, now),
        }
    }

    fn tell_dependents(&self, part: PartId, taken: &[PartId], events: &mpsc::Sender<Event>) {
        let after = self.chain.followers(part);
        let left: Vec<PartId> = after.filter(|id| !taken.contains(id)).collect();
        if taken.is_empty() && left.is_empty() {
            return;
        }
        _ = events.try_send(Event::Dependents {
            part: self.name(part).to_owned(),
            taken: self.names(taken),
            left: self.names(&left),
        });
    }

    fn select(&self, names: &[String]) -> Result<Vec<PartId>, Refusal> {
        let find = |name: &String| {
            let nobody = || {
                let all = self.chain.parts().map(|(id, _)| self.name(id));
                let all = all.collect::<Vec<_>>().join(", ");
                Refusal::unknown(format!("there is no part {name:?}; there are {all}"))
            };
            self.chain.find(name).ok_or_else(nobody)
        };
        names.iter().map(find).collect()
    }

    /// Lets go whoever waits for parts that are what they are to be, or will
    /// not be.
    pub(super) fn let_go(&mut self) {
        let now = Instant::now();
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.settle(|parts, aim| {
            let one = |prospect| {
                let mut parts = parts.iter().copied();
                parts.find(|id| self.chain.prospect(*id) == prospect)
            };
            if one(Prospect::UnderWay).is_some() {
                return None;
            }
            if let Some(id) = one(Prospect::Failed) {
                return Some(Event::Failed(self.part_failure(id)));
            }
            Some(match (one(Prospect::Stopped), aim) {
                (Some(id), Aim::Up) => Event::Failed(self.stopped_meanwhile(id)),
                (None, Aim::Up) => Event::Ready(self.summary(now)),
                (_, Aim::Down(since)) => Event::Done {
                    after_ms: ms(now.duration_since(since)),
                },
            })
        });
        self.watchers = watchers;
    }

    fn stopped_meanwhile(&self, id: PartId) -> StartFailure {
        let name = self.name(id);
        StartFailure {
            error: format!("{name} was stopped meanwhile"),
            hint: Some("`falco events` says by whom".to_owned()),
            ..self.failure(id)
        }
    }

    fn part_failure(&self, id: PartId) -> StartFailure {
        StartFailure {
            hint: Some(self.who_says_more(id)),
            ..self.failure(id)
        }
    }
}
