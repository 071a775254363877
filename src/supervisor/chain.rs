//! The chain: which part to start, ask, stop, restart, give up on.
//!
//! Owns the state of every part and nothing else: no process, no clock. The
//! driver reports what happened, asks for actions until there are none, and
//! comes back when the chain wants to be woken.
//!
//! A part is started once every part it comes `after` has been ready once;
//! later it does not wait for them, since each part copes with the absence of
//! the others, unless a part's policy is to take those after it with it. What
//! ends together ends in order: each after those that come after it are gone.
//!
//! ```text
//!            ┌────────────────────── restarted, delay over ──────────────────────┐
//!            ▼                                                                    │
//! Waiting ──start──▶ Starting ──ready──▶ Ready ──ended──▶ BackingOff ─────────────┤
//!                       │ │               │ │                ▲                   │
//!                       │ └──ended────────┼─┼────────────────┤──permanent──▶ GaveUp
//!                       │                 │ └─ended with 0, and that was all──▶ Finished
//!                       └──not ready──▶ Stopping ◀─not alive─┘
//!                                          │ ▲  │ TERM, grace, KILL, patience ──▶ Stuck
//!                                          │ └──┘
//!                                          └──ended──▶ Stopped, Waiting, BackingOff, removed
//! ```
//!
//! The first start is special: a required part that fails [`START_ATTEMPTS`]
//! times, or for good, before the chain was up once fails the start, and the
//! chain stops itself. One that is not required never does: the start is over
//! once all required parts are ready, and each of the others is too, or has
//! failed so, or was not ready in time; it goes on being tried. That is how a
//! failure counts in every hour after the start, so a chain that would survive
//! it at noon also comes up with it in the morning.
//!
//! At most one incarnation of a part lives: the next is started only after the
//! end of the one before was reported. Every command changes something or says
//! why it does not.

mod advance;
mod command;
mod own_word;
mod part;
mod prospect;
mod pulse;
mod told;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::restart::Verdict;
use super::sidecar::Scope;

pub use command::{Refused, Reloaded};
pub use part::{After, Ending, Fall, LastEnd, Part, Plan, State, Wait};
pub use prospect::Prospect;
pub use pulse::{Pace, Pulse};
pub use told::{Action, Change};

/// How often a part may fail before the first start as a whole has failed.
const START_ATTEMPTS: u32 = 3;

/// How long after SIGKILL a part is written off: it hangs in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long all parts together may outlive their graces when the whole chain
/// goes down, and what each has in any case from SIGKILL on.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
const KILL_PATIENCE_MIN: Duration = Duration::from_millis(100);

/// Names a part for as long as it is in its chain; never used again.
pub type PartId = usize;

/// The chain as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The first start is not over.
    Starting,
    /// Every part is ready.
    Ready,
    /// Up, and some part is not ready.
    Degraded,
    /// Going down.
    Stopping,
    /// Every part is gone.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Up,
    Down,
}

/// The state of all parts.
#[derive(Debug)]
pub struct Chain {
    parts: BTreeMap<PartId, Part>,
    /// The parts in starting order.
    order: Vec<PartId>,
    next_id: PartId,
    goal: Goal,
    /// When everything is gone at the latest, once it is to go.
    gone_by: Option<Instant>,
    /// Whether the first start is over: every required part was ready.
    was_ready: bool,
    /// Whether every part is, and that has been said.
    is_ready: bool,
    actions: VecDeque<Action>,
    changes: VecDeque<Change>,
}

impl Chain {
    /// A chain of `plans` in starting order, and it wants to be up.
    #[must_use]
    pub fn new(plans: Vec<Plan>, now: Instant) -> Self {
        let mut chain = Self {
            parts: BTreeMap::new(),
            order: Vec::new(),
            next_id: 0,
            goal: Goal::Up,
            gone_by: None,
            was_ready: false,
            is_ready: false,
            actions: VecDeque::new(),
            changes: VecDeque::new(),
        };
        for plan in plans {
            chain.add(plan);
        }
        chain.advance(now);
        chain
    }

    /// The parts, in starting order.
    pub fn parts(&self) -> impl Iterator<Item = (PartId, &Part)> {
        self.order.iter().map(|id| (*id, &self.parts[id]))
    }

    /// One part.
    #[must_use]
    pub fn part(&self, id: PartId) -> Option<&Part> {
        self.parts.get(&id)
    }

    /// The part called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PartId> {
        let mut parts = self.parts();
        parts.find(|(_, p)| &*p.plan.name == name).map(|(id, _)| id)
    }

    /// The chain as a whole.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let mut parts = self.parts.values();
        match self.goal {
            Goal::Down
                if parts.all(|p| matches!(p.state, State::Stopped | State::Stuck { .. })) =>
            {
                Outlook::Stopped
            }
            Goal::Down => Outlook::Stopping,
            Goal::Up if parts.all(Part::is_well) => Outlook::Ready,
            Goal::Up if self.was_ready => Outlook::Degraded,
            Goal::Up => Outlook::Starting,
        }
    }

    /// When everything is gone at the latest, or is written off; `None` while it
    /// is to be up.
    #[must_use]
    pub fn gone_by(&self) -> Option<Instant> {
        self.gone_by
    }

    /// A part that does not answer yet is at work, and has as long again for it.
    pub fn handle_busy(&mut self, id: PartId, incarnation: u32, now: Instant) {
        if let Some(part) = self.current(id, incarnation)
            && let State::Starting { ready_by, .. } = &mut part.state
        {
            *ready_by = now + part.plan.ready_within;
        }
    }

    /// A part answers.
    pub fn handle_ready(&mut self, id: PartId, incarnation: u32, now: Instant) {
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        if let State::Starting { since, .. } = part.state {
            let pulse = part.plan.pace.map(|pace| Pulse::new(pace, now));
            part.state = State::Ready { since: now, pulse };
            part.answered = true;
            part.late = false;
            part.unasked = false;
            let after = now.duration_since(since);
            self.changes.push_back(Change::Ready { part: id, after });
        }
        self.advance(now);
    }

    /// A part was asked whether it is alive.
    pub fn handle_pulse(
        &mut self,
        id: PartId,
        incarnation: u32,
        answer: Result<(), String>,
        now: Instant,
    ) {
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        part.unasked = false;
        let pace = part.plan.pace;
        if let State::Ready { since, pulse } = &mut part.state
            && let (Some(pulse), Some(pace)) = (pulse, pace)
            && pulse.answered(pace, answer, now)
        {
            let why = pulse.trouble().unwrap_or_default().to_owned();
            let retry = After::Retry {
                ending: Ending::NotAlive { why },
                ready_since: Some(*since),
            };
            self.begin_stop(id, retry, now);
        }
        self.advance(now);
    }

    /// A part could not be asked, for want of something of our own: that says
    /// nothing of it, so it is asked again and has the time for it.
    pub fn handle_unasked(&mut self, id: PartId, incarnation: u32, why: String, now: Instant) {
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        match (&mut part.state, part.plan.pace) {
            (State::Starting { ready_by, .. }, _) => *ready_by = now + part.plan.ready_within,
            (State::Ready { pulse, .. }, Some(pace)) => {
                if let Some(pulse) = pulse {
                    pulse.unasked(pace, now);
                }
            }
            _ => return,
        }
        if !std::mem::replace(&mut part.unasked, true) {
            self.changes.push_back(Change::Unasked { part: id, why });
        }
    }

    /// A part is gone; all its processes are.
    ///
    /// `jitter` is a random number in `0.0..=1.0`.
    pub fn handle_end(
        &mut self,
        id: PartId,
        incarnation: u32,
        ending: Ending,
        now: Instant,
        jitter: f64,
    ) {
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        part.end(&ending, now);
        match part.state.clone() {
            State::Stopping {
                since,
                killed,
                after,
                ..
            } => self.is_gone(id, since, killed.is_some(), after, now, jitter),
            State::Stuck { since, after } => self.is_gone(id, since, true, after, now, jitter),
            State::Ready { since, .. } => self.fail(id, ending, Some(since), now, jitter),
            State::Starting { .. } => self.fail(id, ending, None, now, jitter),
            _ => {}
        }
        self.advance(now);
    }

    /// The time [`Self::poll_timeout`] asked for has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for id in self.order.clone() {
            self.part_timeout(id, now);
        }
        self.advance(now);
    }

    /// This machine slept, or we were stopped: deadlines that passed meanwhile
    /// say nothing about the parts.
    pub fn handle_resume(&mut self, now: Instant) {
        for part in self.parts.values_mut() {
            match &mut part.state {
                State::Starting { ready_by, .. } => *ready_by = now + part.plan.ready_within,
                State::Ready {
                    pulse: Some(pulse), ..
                } => {
                    if let Some(pace) = part.plan.pace {
                        pulse.resumed(pace, now);
                    }
                }
                _ => {}
            }
        }
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What changed since the last time.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |part: &Part| match &part.state {
            State::Starting { ready_by, .. } => Some(*ready_by),
            State::Stopping { kill_at, .. } => Some(*kill_at),
            State::BackingOff { start_at } => Some(*start_at),
            State::Ready { pulse, .. } => pulse.as_ref().and_then(Pulse::due),
            _ => None,
        };
        self.parts.values().filter_map(due).min()
    }

    fn current(&mut self, id: PartId, incarnation: u32) -> Option<&mut Part> {
        let part = self.parts.get_mut(&id);
        part.filter(|p| p.incarnation == incarnation)
    }

    /// A part that was told to end has ended.
    fn is_gone(
        &mut self,
        id: PartId,
        since: Instant,
        killed: bool,
        after: After,
        now: Instant,
        jitter: f64,
    ) {
        if let After::Retry {
            ending,
            ready_since,
        } = after
        {
            return self.fail(id, ending, ready_since, now, jitter);
        }
        self.changes.push_back(Change::Stopped {
            part: id,
            after: now.duration_since(since),
            killed,
        });
        self.settle(id, &after);
    }

    /// A part ended by itself, or was ended because it did not answer.
    fn fail(
        &mut self,
        id: PartId,
        ending: Ending,
        ready_since: Option<Instant>,
        now: Instant,
        jitter: f64,
    ) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let policy = &part.plan.restart;
        let verdict = part
            .history
            .failed(policy, &ending, ready_since, now, jitter);
        let retry_in = match verdict {
            Verdict::Finished => {
                part.state = State::Finished;
                part.answered = true;
                self.changes.push_back(Change::Finished { part: id });
                return;
            }
            Verdict::Never => {
                part.state = State::GaveUp;
                None
            }
            Verdict::After(delay) => {
                let start_at = now + delay;
                part.state = State::BackingOff { start_at };
                Some(delay)
            }
        };
        let takes_others = policy.scope == Scope::Dependents;
        let hopeless = retry_in.is_none() || START_ATTEMPTS <= part.history.failures();
        let starts = self.goal == Goal::Up && !self.was_ready;
        let fails_start = starts && hopeless && self.is_required(id);
        let retry_in = retry_in.filter(|_| !fails_start && self.goal == Goal::Up);
        self.changes.push_back(Change::Ended {
            part: id,
            ending,
            retry_in,
        });
        if fails_start {
            self.changes.push_back(Change::StartFailed { part: id });
            self.leave_all(now);
        } else if takes_others && self.goal == Goal::Up {
            self.take_along(id);
        }
    }
}

#[cfg(test)]
mod tests;
