//! What a part asks of the chain by itself: more time, or another life.

use std::time::{Duration, Instant};

use super::{After, Chain, Ending, LAST_PATIENCE, PartId, State};

/// How much longer than planned a start may take, however often the part asks.
const START_EXTENSION: Duration = Duration::from_secs(300);

/// As much for the stop of a part by name. When the whole chain goes down, it
/// has what others have left of the time in which all are to be gone.
const STOP_EXTENSION: Duration = Duration::from_secs(60);

impl Chain {
    /// A part says that it is at work, and is to be waited for so long from now.
    pub fn handle_extension(&mut self, id: PartId, incarnation: u32, by: Duration, now: Instant) {
        let gone_by = self.last_moment();
        let Some(part) = self.current(id, incarnation) else {
            return;
        };
        let plan = &part.plan;
        match &mut part.state {
            State::Starting { since, ready_by } => {
                let most = *since + plan.ready_within + START_EXTENSION;
                *ready_by = extended(*ready_by, by, most, now);
            }
            State::Stopping {
                since,
                kill_at,
                killed: None,
                ..
            } => {
                let most = *since + plan.stop_grace + STOP_EXTENSION;
                let most = gone_by.map_or(most, |by| most.min(by));
                *kill_at = extended(*kill_at, by, most, now);
            }
            _ => {}
        }
    }

    /// A part says that it does not work any more.
    pub fn handle_distress(&mut self, id: PartId, incarnation: u32, now: Instant) {
        let state = self.current(id, incarnation).map(|part| &part.state);
        if let Some(&State::Ready { since, .. }) = state {
            let why = "it said so itself".to_owned();
            let retry = After::Retry {
                ending: Ending::NotAlive { why },
                ready_since: Some(since),
            };
            self.begin_stop(id, retry, now);
        }
        self.advance(now);
    }

    /// Until when a part that is stopping now can be waited for if the whole
    /// chain goes down: those that are still to be asked keep their graces.
    fn last_moment(&self) -> Option<Instant> {
        let to_come = self.parts.values().filter(|part| part.leaving.is_some());
        let to_come: Duration = to_come.map(|part| part.plan.stop_grace).sum();
        self.gone_by?.checked_sub(LAST_PATIENCE + to_come)
    }
}

/// Never earlier than before, nor later than `most`.
fn extended(before: Instant, by: Duration, most: Instant, now: Instant) -> Instant {
    let by = by.min(START_EXTENSION);
    before.max(most.min(now + by))
}
