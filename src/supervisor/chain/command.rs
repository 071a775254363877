//! What a person can ask of a chain. Each command changes something, or says
//! why it does not.

use std::time::Instant;

use super::super::sidecar::Scope;
use super::{After, Chain, Goal, LAST_PATIENCE, Part, PartId, Plan, State};

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The whole chain goes down.
    #[error("the chain is being stopped")]
    GoingDown,
    /// There is nothing to stop.
    #[error("{name} is not running")]
    NotRunning {
        /// Which.
        name: String,
    },
    /// It would be running if it could.
    #[error("{name} waits for {on}")]
    Waiting {
        /// Which.
        name: String,
        /// For what.
        on: String,
    },
    /// A process of it outlived SIGKILL, and there is never a second one.
    #[error("{name} cannot be started: a process of it outlived SIGKILL")]
    Stuck {
        /// Which.
        name: String,
    },
}

/// What a reload does with whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// They go on as they are.
    pub kept: Vec<PartId>,
    /// They end and are started again.
    pub restarted: Vec<PartId>,
    /// They are new.
    pub started: Vec<PartId>,
    /// They end, and are parts of the chain no more.
    pub stopped: Vec<PartId>,
}

impl Chain {
    /// Stops every part, each after those that come after it.
    pub fn stop(&mut self, now: Instant) {
        self.leave_all(now);
        self.advance(now);
    }

    /// Stops every part at once and without grace.
    pub fn kill(&mut self, now: Instant) {
        self.leave_all(now);
        self.gone_by = self.gone_by.map(|by| by.min(now + LAST_PATIENCE));
        for id in self.order.clone() {
            if self.parts[&id].is_running() {
                self.begin_stop(id, After::Stay, now);
                self.kill_part(id, now);
            }
        }
        self.advance(now);
    }

    /// Stops every part, last first, and starts them again in order; forgets
    /// every failure.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn restart_all(&mut self, now: Instant) -> Result<(), Refused> {
        self.is_up()?;
        for id in self.order.clone() {
            if !self.is_going_for_good(id) {
                self.start_over(id);
                self.unanswer(id);
            }
        }
        self.advance(now);
        Ok(())
    }

    /// Restarts one part and forgets its failures; yields those who go with it.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn restart(&mut self, id: PartId, now: Instant) -> Result<Vec<PartId>, Refused> {
        self.is_up()?;
        let part = &self.parts[&id];
        let name = part.plan.name.to_string();
        match &part.state {
            State::Stuck { .. } => return Err(Refused::Stuck { name }),
            State::Waiting if part.leaving.is_none() => {
                let on = self.waits_for(part);
                return Err(Refused::Waiting { name, on });
            }
            _ => {}
        }
        let mut with = Vec::new();
        if self.parts[&id].plan.restart.scope == Scope::Dependents {
            with = self.dependents(id);
            with.retain(|id| self.parts[id].state != State::Finished);
            for id in std::iter::once(&id).chain(&with) {
                self.unanswer(*id);
            }
        }
        for id in std::iter::once(&id).chain(&with) {
            self.start_over(*id);
        }
        self.advance(now);
        Ok(with)
    }

    /// Stops one part until it is restarted; yields those who go with it.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn stop_part(&mut self, id: PartId, now: Instant) -> Result<Vec<PartId>, Refused> {
        self.is_up()?;
        let part = &self.parts[&id];
        let name = part.plan.name.to_string();
        match &part.state {
            State::Stuck { .. } => return Err(Refused::Stuck { name }),
            State::Stopped if part.leaving.is_none() => return Err(Refused::NotRunning { name }),
            _ => {}
        }
        let mut with = Vec::new();
        if part.plan.restart.scope == Scope::Dependents {
            with = self.dependents(id);
            with.retain(|id| self.parts[id].is_running());
        }
        for id in std::iter::once(&id).chain(&with) {
            self.leave(*id, After::Stay);
        }
        self.advance(now);
        Ok(with)
    }

    /// Makes this the chain of `plans`, in starting order. `changed` says which
    /// of those that stay have to be started anew for it.
    ///
    /// What a person has stopped stays so.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn reload(
        &mut self,
        plans: Vec<Plan>,
        changed: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Result<Reloaded, Refused> {
        self.is_up()?;
        let mut done = Reloaded::default();
        let planned = |part: &Part| plans.iter().any(|plan| plan.name == part.plan.name);
        let gone = self.parts().filter(|(_, part)| !planned(part));
        let mut order: Vec<PartId> = gone.map(|(id, _)| id).collect();
        let known = order.iter().copied();
        done.stopped = known.filter(|id| !self.is_going_for_good(*id)).collect();
        let mut stale = Vec::new();
        for plan in plans {
            let Some(id) = self.find(&plan.name) else {
                let id = self.add(plan);
                done.started.push(id);
                order.push(id);
                continue;
            };
            order.push(id);
            let back = self.is_going_for_good(id);
            if back || (changed(&plan.name) && self.is_wanted(id)) {
                stale.push(id);
            }
            if let Some(part) = self.parts.get_mut(&id) {
                part.plan = plan;
            }
        }
        self.order = order;
        self.renew(stale, &mut done);
        self.advance(now);
        Ok(done)
    }

    fn renew(&mut self, mut stale: Vec<PartId>, done: &mut Reloaded) {
        for id in stale.clone() {
            if self.parts[&id].plan.restart.scope == Scope::Dependents {
                let mut with = self.dependents(id);
                with.retain(|id| self.parts[id].is_running() && !stale.contains(id));
                stale.extend(with);
            }
        }
        stale.retain(|id| !done.started.contains(id));
        for &id in &stale {
            // What starts anew together starts in order.
            let new = |id: &PartId| stale.contains(id) || done.started.contains(id);
            if self.dependents(id).iter().any(new) {
                self.unanswer(id);
            }
            self.start_over(id);
        }
        for &id in &done.stopped {
            self.leave(id, After::Remove);
        }
        for &id in &self.order {
            if stale.contains(&id) {
                done.restarted.push(id);
            } else if !done.started.contains(&id) && !self.is_going_for_good(id) {
                done.kept.push(id);
            }
        }
    }

    fn start_over(&mut self, id: PartId) {
        if let Some(part) = self.parts.get_mut(&id) {
            part.history.forgive();
            part.late = false;
        }
        self.leave(id, After::Again);
    }

    fn is_up(&self) -> Result<(), Refused> {
        match self.goal {
            Goal::Up => Ok(()),
            Goal::Down => Err(Refused::GoingDown),
        }
    }

    /// Whether a reload has taken it out.
    fn is_going_for_good(&self, id: PartId) -> bool {
        let part = &self.parts[&id];
        let after = match &part.state {
            State::Stopping { after, .. } | State::Stuck { after, .. } => Some(after),
            _ => part.leaving.as_ref(),
        };
        after == Some(&After::Remove)
    }

    /// Whether nobody has stopped it.
    fn is_wanted(&self, id: PartId) -> bool {
        let part = &self.parts[&id];
        let stopping = matches!(
            part.state,
            State::Stopped
                | State::Stopping {
                    after: After::Stay,
                    ..
                }
        );
        !stopping && part.leaving != Some(After::Stay)
    }

    /// The parts that a part waits for, by name.
    #[must_use]
    pub fn waits_for(&self, part: &Part) -> String {
        let missing = |name: &&str| self.find(name).is_some_and(|on| !self.parts[&on].answered);
        let names = part.plan.after.iter().map(|name| &**name);
        names.filter(missing).collect::<Vec<_>>().join(", ")
    }
}
