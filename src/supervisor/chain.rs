//! The chain: which part to start, stop, restart, give up on.
//!
//! Owns the state of every part and nothing else: no process, no clock. The
//! driver reports what happened, asks for actions until there are none, and
//! comes back when the chain wants to be woken.
//!
//! A part is started once every part it comes `after` has been ready once;
//! later it does not wait for them, since each part copes with the absence of
//! the others. Stopping goes from the last part to the first, each after the
//! one behind it is gone.
//!
//! ```text
//!            ┌────────────────────── restarted, delay over ──────────────────────┐
//!            ▼                                                                    │
//! Waiting ──start──▶ Starting ──ready──▶ Ready ──ended──▶ BackingOff ─────────────┤
//!                       │ │                │                  ▲                   │
//!                       │ └──ended─────────┼──────────────────┤──permanent──▶ GaveUp
//!                       └──not ready in time──▶ Stopping ─────┘
//!                                          │       ▲  │ TERM, grace, KILL
//!                                          └──stop─┘  └──ended──▶ Stopped
//! ```
//!
//! The first start is special: a part that fails [`START_ATTEMPTS`] times, or
//! for good, before the whole chain was ready once fails the start, and the
//! chain stops itself.

mod part;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::restart::Verdict;

pub use part::{After, Ending, Part, Plan, State};

/// How often a part may fail before the first start as a whole has failed.
const START_ATTEMPTS: u32 = 3;

/// How long after SIGKILL a part is written off: it hangs in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Index of a part in its chain.
pub type PartId = usize;

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this incarnation.
    Start(PartId, u32),
    /// Ask it to end.
    Terminate(PartId, u32),
    /// End it.
    Kill(PartId, u32),
}

/// What changed, for logs and for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A part answers, so long after its start.
    Ready {
        /// Which.
        part: PartId,
        /// From start to ready.
        after: Duration,
    },
    /// A part ended though nobody asked it to.
    Ended {
        /// Which.
        part: PartId,
        /// How.
        ending: Ending,
        /// When it is started again; `None` is never.
        retry_in: Option<Duration>,
    },
    /// A part is gone as asked, so long after it was asked.
    Stopped {
        /// Which.
        part: PartId,
        /// From request to gone.
        after: Duration,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A part outlived SIGKILL and was written off.
    Stuck {
        /// Which.
        part: PartId,
    },
    /// Every part is ready.
    ChainReady,
    /// The first start failed because of this part.
    StartFailed {
        /// Which.
        part: PartId,
    },
}

/// The chain as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Not every part has been ready yet.
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
    /// Down, and then up again.
    Again,
}

/// The state of all parts, in starting order.
#[derive(Debug)]
pub struct Chain {
    parts: Vec<Part>,
    goal: Goal,
    /// Whether every part was ready at one time.
    was_ready: bool,
    actions: VecDeque<Action>,
    changes: VecDeque<Change>,
}

impl Chain {
    /// A chain of `plans` in starting order, and it wants to be up.
    #[must_use]
    pub fn new(plans: Vec<Plan>, now: Instant) -> Self {
        let mut chain = Self {
            parts: plans.into_iter().map(Part::new).collect(),
            goal: Goal::Up,
            was_ready: false,
            actions: VecDeque::new(),
            changes: VecDeque::new(),
        };
        chain.advance(now);
        chain
    }

    /// The parts, in starting order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The chain as a whole.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let all = |f: fn(&State) -> bool| self.parts.iter().all(|p| f(&p.state));
        match self.goal {
            Goal::Down if all(|s| matches!(s, State::Stopped)) => Outlook::Stopped,
            Goal::Down => Outlook::Stopping,
            Goal::Up if all(|s| matches!(s, State::Ready { .. })) => Outlook::Ready,
            Goal::Up | Goal::Again if self.was_ready => Outlook::Degraded,
            Goal::Up | Goal::Again => Outlook::Starting,
        }
    }

    /// A part answers.
    pub fn handle_ready(&mut self, id: PartId, incarnation: u32, now: Instant) {
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        if let State::Starting { since, .. } = part.state {
            part.state = State::Ready { since: now };
            part.ever_ready = true;
            let after = now.duration_since(since);
            self.changes.push_back(Change::Ready { part: id, after });
            if self.outlook() == Outlook::Ready {
                self.was_ready = true;
                self.changes.push_back(Change::ChainReady);
            }
        }
        self.advance(now);
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
        let was = part.end(&ending, now);
        match was {
            State::Stopping {
                since,
                killed,
                after,
                ..
            } => {
                let change = Change::Stopped {
                    part: id,
                    after: now.duration_since(since),
                    killed,
                };
                match after {
                    After::Stay => part.state = State::Stopped,
                    After::Restart => part.state = State::Waiting,
                    After::Retry => return self.fail(id, Ending::NotReady, None, now, jitter),
                }
                self.changes.push_back(change);
            }
            State::Ready { since } => return self.fail(id, ending, Some(since), now, jitter),
            State::Starting { .. } => return self.fail(id, ending, None, now, jitter),
            // Written off before; it did end at last.
            other => part.state = other,
        }
        self.advance(now);
    }

    /// The time [`Self::poll_timeout`] asked for has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for id in 0..self.parts.len() {
            self.part_timeout(id, now);
        }
        self.advance(now);
    }

    /// Stops every part, last first.
    pub fn stop(&mut self, now: Instant) {
        self.goal = Goal::Down;
        self.advance(now);
    }

    /// Stops every part at once and without grace.
    pub fn kill(&mut self, now: Instant) {
        self.goal = Goal::Down;
        for id in 0..self.parts.len() {
            if self.parts[id].is_running() {
                self.begin_stop(id, After::Stay, now);
                self.kill_part(id, now);
            }
        }
        self.advance(now);
    }

    /// Stops every part, last first, and starts them again in order; forgets
    /// every failure.
    pub fn restart_all(&mut self, now: Instant) {
        if self.goal != Goal::Down {
            self.goal = Goal::Again;
            self.advance(now);
        }
    }

    /// Restarts one part at once and forgets its failures.
    pub fn restart(&mut self, id: PartId, now: Instant) {
        if self.goal != Goal::Up {
            return;
        }
        let part = &mut self.parts[id];
        part.history.forgive();
        match part.state {
            State::Starting { .. } | State::Ready { .. } => {
                self.begin_stop(id, After::Restart, now);
            }
            State::Stopping { ref mut after, .. } => *after = After::Restart,
            State::BackingOff { .. } | State::GaveUp | State::Stopped => {
                part.state = State::Waiting;
            }
            State::Waiting => {}
        }
        self.advance(now);
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
        let due = |part: &Part| match part.state {
            State::Starting { ready_by, .. } => Some(ready_by),
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::BackingOff { start_at } => Some(start_at),
            _ => None,
        };
        self.parts.iter().filter_map(due).min()
    }

    fn current(&mut self, id: PartId, incarnation: u32) -> Option<&mut Part> {
        self.parts
            .get_mut(id)
            .filter(|p| p.incarnation == incarnation)
    }

    /// A part ended by itself, or was ended because it never got ready.
    fn fail(
        &mut self,
        id: PartId,
        ending: Ending,
        ready_since: Option<Instant>,
        now: Instant,
        jitter: f64,
    ) {
        let part = &mut self.parts[id];
        let verdict = part.history.failed(&ending, ready_since, now, jitter);
        let (state, retry_in) = match verdict {
            Verdict::After(delay) => (
                State::BackingOff {
                    start_at: now + delay,
                },
                Some(delay),
            ),
            Verdict::Never => (State::GaveUp, None),
        };
        part.state = state;
        let hopeless = retry_in.is_none() || START_ATTEMPTS <= part.history.failures();
        let fails_start = self.goal == Goal::Up && !self.was_ready && hopeless;
        let retry_in = retry_in.filter(|_| !fails_start && self.goal == Goal::Up);
        self.changes.push_back(Change::Ended {
            part: id,
            ending,
            retry_in,
        });
        if fails_start {
            self.changes.push_back(Change::StartFailed { part: id });
            self.goal = Goal::Down;
        }
        self.advance(now);
    }

    fn part_timeout(&mut self, id: PartId, now: Instant) {
        match self.parts[id].state {
            State::Starting { ready_by, .. } if ready_by <= now => {
                self.begin_stop(id, After::Retry, now);
            }
            State::Stopping {
                kill_at,
                killed: false,
                ..
            } if kill_at <= now => {
                self.kill_part(id, now);
            }
            State::Stopping {
                kill_at,
                killed: true,
                ..
            } if kill_at <= now => {
                self.changes.push_back(Change::Stuck { part: id });
                self.parts[id].state = match self.goal {
                    Goal::Up => State::GaveUp,
                    Goal::Down | Goal::Again => State::Stopped,
                };
            }
            State::BackingOff { start_at } if start_at <= now => {
                self.parts[id].state = State::Waiting;
            }
            _ => {}
        }
    }

    fn begin_stop(&mut self, id: PartId, then: After, now: Instant) {
        let part = &mut self.parts[id];
        if let State::Stopping { after, .. } = &mut part.state {
            *after = then;
            return;
        }
        let kill_at = now + part.plan.stop_grace;
        part.state = State::Stopping {
            since: now,
            kill_at,
            killed: false,
            after: then,
        };
        self.actions
            .push_back(Action::Terminate(id, part.incarnation));
    }

    fn kill_part(&mut self, id: PartId, now: Instant) {
        let part = &mut self.parts[id];
        if let State::Stopping {
            kill_at, killed, ..
        } = &mut part.state
        {
            *killed = true;
            *kill_at = now + KILL_PATIENCE;
            self.actions.push_back(Action::Kill(id, part.incarnation));
        }
    }

    /// Moves every part as far as it can go now.
    fn advance(&mut self, now: Instant) {
        match self.goal {
            Goal::Up => self.advance_up(now),
            Goal::Down => self.advance_down(now),
            Goal::Again => self.advance_again(now),
        }
    }

    fn advance_again(&mut self, now: Instant) {
        self.advance_down(now);
        if self.parts.iter().any(|p| p.state != State::Stopped) {
            return;
        }
        self.goal = Goal::Up;
        for part in &mut self.parts {
            part.history.forgive();
            part.ever_ready = false;
            part.state = State::Waiting;
        }
        self.advance_up(now);
    }

    fn advance_up(&mut self, now: Instant) {
        for id in 0..self.parts.len() {
            if matches!(self.parts[id].state, State::Waiting) && self.may_start(id) {
                let part = &mut self.parts[id];
                part.start(now);
                self.actions.push_back(Action::Start(id, part.incarnation));
            }
        }
    }

    fn may_start(&self, id: PartId) -> bool {
        let after = &self.parts[id].plan.after;
        after.iter().all(|&on| self.parts[on].ever_ready)
    }

    /// From the last part to the first: the next is told to stop when all
    /// behind it are gone.
    fn advance_down(&mut self, now: Instant) {
        for id in (0..self.parts.len()).rev() {
            match self.parts[id].state {
                State::Waiting | State::BackingOff { .. } | State::GaveUp => {
                    self.parts[id].state = State::Stopped;
                }
                State::Starting { .. } | State::Ready { .. } => {
                    return self.begin_stop(id, After::Stay, now);
                }
                State::Stopping { ref mut after, .. } => {
                    *after = After::Stay;
                    return;
                }
                State::Stopped => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
