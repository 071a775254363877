//! Moving every part as far as it can go now.

use std::time::{Duration, Instant};

use super::{Action, After, Chain, Change, Ending, Goal, Outlook, Part, PartId, Plan, State};
use super::{KILL_PATIENCE, KILL_PATIENCE_MIN, LAST_PATIENCE};

impl Chain {
    pub(super) fn add(&mut self, plan: Plan) -> PartId {
        let id = self.next_id;
        self.next_id += 1;
        self.parts.insert(id, Part::new(plan));
        self.order.push(id);
        id
    }

    /// Those who come after `id`, and those after them, nearest first.
    pub(super) fn dependents(&self, id: PartId) -> Vec<PartId> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(on) = found.get(at).copied() {
            let name = &self.parts[&on].plan.name;
            let after = |part: &Part| part.plan.after.contains(name);
            let new = self
                .parts()
                .filter(|(id, p)| after(p) && !found.contains(id));
            let new: Vec<_> = new.map(|(id, _)| id).collect();
            found.extend(new);
            at += 1;
        }
        found.split_off(1)
    }

    /// `id` failed: those after it go with it, and come back behind it.
    pub(super) fn take_along(&mut self, id: PartId) {
        self.unanswer(id);
        for id in self.dependents(id) {
            if self.parts[&id].is_running() {
                self.unanswer(id);
                self.leave(id, After::Again);
            }
        }
    }

    /// Those who come after `id` wait for it again.
    pub(super) fn unanswer(&mut self, id: PartId) {
        if let Some(part) = self.parts.get_mut(&id) {
            part.answered = false;
        }
    }

    /// `id` is to end, and then `after`.
    pub(super) fn leave(&mut self, id: PartId, then: After) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        match &mut part.state {
            State::Stopping { after, .. } | State::Stuck { after, .. } => {
                *after = then;
                part.leaving = None;
            }
            _ => part.leaving = Some(then),
        }
    }

    /// The chain is to go down.
    pub(super) fn leave_all(&mut self, now: Instant) {
        self.goal = Goal::Down;
        let running = self.parts.values().filter(|part| part.is_running());
        let graces: Duration = running.map(|part| part.plan.stop_grace).sum();
        let gone_by = *self.gone_by.get_or_insert(now + graces + LAST_PATIENCE);
        for id in self.order.clone() {
            self.leave(id, After::Stay);
            if let Some(State::Stopping { kill_at, .. }) = self.state_mut(id) {
                *kill_at = gone_by.min(*kill_at);
            }
        }
    }

    fn state_mut(&mut self, id: PartId) -> Option<&mut State> {
        self.parts.get_mut(&id).map(|part| &mut part.state)
    }

    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(id) = self.next_to_go() {
            self.let_go(id, now);
        }
        if self.goal == Goal::Up {
            for id in self.order.clone() {
                self.start_if_free(id, now);
            }
        }
        let ready = self.outlook() == Outlook::Ready;
        if ready && !self.is_ready {
            self.was_ready = true;
            self.changes.push_back(Change::ChainReady);
        }
        self.is_ready = ready;
        if !self.was_ready && self.is_settled() {
            self.was_ready = true;
            self.changes.push_back(Change::Settled);
        }
    }

    /// A part that is to end, and nobody after it that ends too still runs.
    fn next_to_go(&self) -> Option<PartId> {
        let to_go = |id: &PartId| self.parts[id].leaving.is_some() && !self.is_held(*id);
        self.order.iter().rev().copied().find(to_go)
    }

    fn is_held(&self, id: PartId) -> bool {
        let name = &self.parts[&id].plan.name;
        let mut parts = self.parts.values();
        parts.any(|part| part.plan.after.contains(name) && part.is_going())
    }

    fn let_go(&mut self, id: PartId, now: Instant) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let Some(then) = part.leaving.take() else {
            return;
        };
        if let State::Stuck { after, .. } = &mut part.state {
            *after = then;
        } else if part.is_running() {
            self.begin_stop(id, then, now);
        } else {
            self.settle(id, &then);
        }
    }

    fn start_if_free(&mut self, id: PartId, now: Instant) {
        let part = &self.parts[&id];
        let answered = |name| self.find(name).is_none_or(|on| self.may_follow(on));
        // One that takes others with it comes back when they are gone.
        let free = part.state == State::Waiting
            && part.plan.after.iter().all(|name| answered(name))
            && (part.answered || !self.is_held(id));
        if let Some(part) = self.parts.get_mut(&id).filter(|_| free) {
            part.start(now);
            self.actions.push_back(Action::Start(id, part.incarnation));
        }
    }

    fn may_follow(&self, on: PartId) -> bool {
        let part = &self.parts[&on];
        part.answered && part.leaving.is_none()
    }

    /// What becomes of a part that runs no more.
    pub(super) fn settle(&mut self, id: PartId, then: &After) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        part.leaving = None;
        match then {
            After::Stay => part.state = State::Stopped,
            After::Again | After::Retry { .. } => part.state = State::Waiting,
            After::Remove => {
                self.parts.remove(&id);
                self.order.retain(|other| *other != id);
                self.changes.push_back(Change::Removed { part: id });
            }
        }
    }

    pub(super) fn part_timeout(&mut self, id: PartId, now: Instant) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        if let State::Ready {
            pulse: Some(pulse), ..
        } = &mut part.state
            && pulse.take_due(now)
        {
            self.actions.push_back(Action::Ask(id, part.incarnation));
        }
        match &mut part.state {
            State::Starting { ready_by, .. } if *ready_by <= now => {
                part.late = true;
                let retry = After::Retry {
                    ending: Ending::NotReady,
                    ready_since: None,
                };
                self.begin_stop(id, retry, now);
            }
            State::Stopping {
                kill_at, killed, ..
            } if *kill_at <= now && killed.is_none() => self.kill_part(id, now),
            State::Stopping {
                since,
                kill_at,
                after,
                ..
            } if *kill_at <= now => {
                let (since, after) = (*since, after.clone());
                part.state = State::Stuck { since, after };
                self.changes.push_back(Change::Stuck { part: id });
            }
            State::BackingOff { start_at } if *start_at <= now => part.state = State::Waiting,
            _ => {}
        }
    }

    pub(super) fn begin_stop(&mut self, id: PartId, then: After, now: Instant) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        if let State::Stopping { after, .. } = &mut part.state {
            *after = then;
            return;
        }
        part.state = State::Stopping {
            since: now,
            kill_at: now + part.plan.stop_grace,
            killed: None,
            after: then,
        };
        let terminate = Action::Terminate(id, part.incarnation);
        self.actions.push_back(terminate);
    }

    pub(super) fn kill_part(&mut self, id: PartId, now: Instant) {
        let patience = self.kill_patience(now);
        if let Some(part) = self.parts.get_mut(&id)
            && let State::Stopping {
                kill_at, killed, ..
            } = &mut part.state
        {
            killed.get_or_insert(now);
            *kill_at = now + patience;
            self.actions.push_back(Action::Kill(id, part.incarnation));
        }
    }

    /// How long whoever is killed now may take. When the whole chain goes down,
    /// those that are still to be asked keep their graces.
    fn kill_patience(&self, now: Instant) -> Duration {
        let Some(gone_by) = self.gone_by else {
            return KILL_PATIENCE;
        };
        let to_come = self.parts.values().filter(|part| part.leaving.is_some());
        let to_come: Duration = to_come.map(|part| part.plan.stop_grace).sum();
        gone_by
            .saturating_duration_since(now)
            .saturating_sub(to_come)
            .clamp(KILL_PATIENCE_MIN, KILL_PATIENCE)
    }
}
