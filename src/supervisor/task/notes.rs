//! What the supervisor notes in the journal of life events.
//!
//! States are compared with those noted before, whatever changed them, so that
//! no change of a part goes unnoted.

use std::collections::BTreeMap;

use super::super::chain::{After, Ending, PartId, State};
use super::super::view::{self, ms};
use super::Supervisor;
use crate::protocol::control::PartState;
use crate::protocol::life::{Asker, Cause, Life};

/// What was noted so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Of each part, its incarnation and state.
    states: BTreeMap<String, (u32, PartState)>,
    /// Why each part ended last.
    causes: BTreeMap<String, Cause>,
    /// Who asked for the stop.
    pub(super) stop_asked: Option<Asker>,
}

impl Noted {
    /// Why the part called `name` ended last.
    pub(super) fn cause(&self, name: &str) -> Option<Cause> {
        self.causes.get(name).copied()
    }
}

impl Supervisor {
    /// Notes every part whose state is another one than before.
    pub(super) fn note_states(&mut self) {
        let ids: Vec<PartId> = self.chain.parts().map(|(id, _)| id).collect();
        for id in ids {
            let Some(part) = self.chain.part(id) else {
                continue;
            };
            let now = (part.incarnation, view::part_state(part));
            let name = part.plan.name.to_string();
            let before = self.noted.states.insert(name.clone(), now);
            if before != Some(now) {
                self.note_state(id, name, now, before);
            }
        }
    }

    fn note_state(
        &self,
        id: PartId,
        part: String,
        (incarnation, state): (u32, PartState),
        before: Option<(u32, PartState)>,
    ) {
        let was_failing = before.is_some_and(|(_, state)| state == PartState::CrashLoop);
        let is_failing = state == PartState::CrashLoop;
        if is_failing && !was_failing {
            let part = part.clone();
            self.journal.note(Life::CrashLoop { part, incarnation });
        }
        if was_failing && !is_failing {
            let part = part.clone();
            self.journal.note(Life::CrashLoopOver { part, incarnation });
        }
        let retry_in_ms = match self.chain.part(id).map(|part| &part.state) {
            Some(State::BackingOff { start_at }) => Some(ms(
                start_at.saturating_duration_since(std::time::Instant::now())
            )),
            _ => None,
        };
        self.journal.note(Life::State {
            part,
            incarnation,
            state,
            pid: self.pid(id),
            retry_in_ms,
        });
    }

    /// Notes how a life ended that was in state `was`.
    pub(super) fn note_end(&mut self, id: PartId, incarnation: u32, was: &State) {
        let part = self.chain.part(id);
        let part = part.filter(|part| part.incarnation == incarnation);
        let Some((part, end)) = part.and_then(|part| Some((part, part.last_end.as_ref()?))) else {
            return;
        };
        let (signal, core_dumped) = end.ending.signal();
        let name = part.plan.name.to_string();
        let cause = cause(was, &end.ending);
        self.noted.causes.insert(name.clone(), cause);
        self.journal.note(Life::Ended {
            part: name,
            incarnation,
            ending: end.ending.to_string(),
            code: end.ending.code(),
            signal,
            core_dumped,
            uptime_ms: ms(end.uptime),
            cause,
        });
    }

    /// Notes that everything is gone.
    pub(super) fn note_stopped(&mut self, after_ms: u64) {
        let by = self.noted.stop_asked.take();
        self.journal.note(Life::SupervisorStopped { after_ms, by });
    }

    /// Notes that somebody asked for something.
    pub(super) fn note_asked(&mut self, request: &str, parts: Vec<String>, by: Asker) {
        if matches!(request, "stop" | "kill") && parts.is_empty() {
            self.noted.stop_asked.get_or_insert_with(|| by.clone());
        }
        let request = request.to_owned();
        self.journal.note(Life::Asked { request, parts, by });
    }
}

fn cause(was: &State, ending: &Ending) -> Cause {
    match (was, ending) {
        (
            State::Stopping {
                after: After::Retry { ending, .. },
                ..
            },
            _,
        ) if *ending == Ending::NotReady => Cause::NeverReady,
        (
            State::Stopping {
                after: After::Retry { .. },
                ..
            },
            _,
        ) => Cause::Liveness,
        (_, Ending::NotReady) => Cause::NeverReady,
        (State::Stopping { .. }, _) => Cause::Requested,
        (_, Ending::CannotStart { .. }) => Cause::ExecFailed,
        _ => Cause::Crash,
    }
}
