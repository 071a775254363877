//! Lanes that found no room for an effect, and refuse what comes behind it.
//!
//! A lane that is full takes no other effect before it is empty. From then on,
//! as in a lane that held nothing when there was no room, what comes next may
//! find the room that was missing a moment before, and would overtake what was
//! refused. A daemon that does not wait for its answers has the next ones on their
//! way by then. So they are refused, too: for two seconds, or until the first that
//! was refused comes again, under its id or its key. What failed before that one
//! goes before it, and opens nothing. They are told which they wait for, and nothing
//! else of how that one failed: nothing was tried of them.
//!
//! ```text
//!        no room in a full lane          it is empty         the first comes again
//! open ──────────────────────────▶ Full ─────────────▶ Empty ──────────────────────▶ Again
//!  │ ▲                             ▲ ▲                ▲ │ ▲                           │ │
//!  │ └── 2 s ──────────────────────┼─┼────────────────┼─┘ └──── it fails, for now ────┘ │
//!  │                               │ └─ no room, again ─┴───────────────────────────────┤
//!  └── no room, though its lane holds nothing ────────┘                    open ◀── 2 s ┘
//! ```
//!
//! While it is full the lane itself refuses whatever comes, the first too, which
//! is waited for all the same. The two seconds begin when it is empty: what is on
//! its way then may have been sent long after the first was refused. What the lane
//! held may fail, too, and be forgotten because nothing was tried of it: then that
//! is the first, for it came before. Once the first came again everything passes;
//! if it fails for now within two seconds, whatever the reason, it is waited for
//! as long again.
//!
//! A lane is shut to the connection that was refused, and to no other, until that
//! is closed. That is all that can be done for daemons that say nothing of their
//! order; a flag or sequence numbers keep it for longer, and also among all that
//! were refused behind the first ([`Fences`], [`Gaps`]). What counts is when an
//! effect is taken: one that waits for longer than the two seconds, because its
//! connection is not read, or nothing is, or the machine sleeps, may overtake.
//!
//! Holds 16 384 lanes at most, about 4 MiB, one that is shut to two connections
//! twice; beyond, no more are shut.
//!
//! [`Fences`]: crate::delivery::fences::Fences
//! [`Gaps`]: crate::delivery::gaps::Gaps

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::BootTime;
use crate::delivery::dedupe::known_by;
use crate::delivery::effect::Producer;
use crate::delivery::failure::{Class, Failure};
use crate::delivery::gaps::Stream;
use crate::delivery::path::Path;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

/// How long the effects behind a refused one may be on their way; who never sends
/// that again has lost no more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lanes that may be shut at once, counted for each connection.
const LANES_MAX: usize = 16_384;

/// An effect that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub id: EffectId,
    /// What makes a copy of it recognisable.
    pub known_by: Uuid,
    /// Its place.
    pub arrival: u64,
}

impl Refused {
    /// Whether this is the same, come again.
    fn is(&self, id: EffectId, known_by: impl FnOnce() -> Uuid) -> bool {
        self.id == id || self.known_by == known_by()
    }
}

#[derive(Debug)]
struct Lane {
    first: Refused,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It holds effects, and refuses by itself what comes.
    Full,
    /// It holds none of those any more, and refuses what comes.
    Empty { lost: Lost, until: BootTime },
    /// The first came again, and may fail again.
    Again { until: BootTime },
}

/// How the first was refused.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// There was no room for it.
    NoRoom,
    /// It came again, and failed for another reason.
    Failed,
}

impl Lost {
    /// What those behind it are told.
    fn behind(self, first: EffectId) -> Failure {
        let (class, how) = match self {
            Self::NoRoom => (Class::LaneFull, "was turned away"),
            Self::Failed => (Class::Throttled, "failed"),
        };
        let text = format!("not sent, because {first} before it {how} and has not come again");
        Failure::new(class, text)
    }
}

impl State {
    fn is_over(&self, now: BootTime) -> bool {
        match self {
            Self::Full => false,
            Self::Empty { until, .. } | Self::Again { until } => *until <= now,
        }
    }

    /// Whether the first is not waited for any more.
    fn is_open(&self, now: BootTime) -> bool {
        matches!(self, Self::Again { .. }) || self.is_over(now)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shut {
    lanes: BTreeMap<(Path, Producer), Lane>,
    swept_at: BootTime,
}

impl Shut {
    /// A lane had no room for an effect, and has none until it is empty.
    pub(super) fn refuse(&mut self, stream: &Stream<'_>, refused: Refused, now: BootTime) {
        self.sweep(now);
        let is_full = self.lanes.len() >= LANES_MAX;
        let path = Path::new(stream.route, stream.lane);
        match self.lanes.entry((path, stream.producer)) {
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                if lane.state.is_open(now) || refused.arrival < lane.first.arrival {
                    lane.first = refused;
                }
                lane.state = State::Full;
            }
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(lane) => {
                let (first, state) = (refused, State::Full);
                lane.insert(Lane { first, state });
            }
        }
    }

    /// An effect that was let through fails for now, and not because its lane is
    /// full. If it was the first it is so again; if nothing is known of it any more
    /// and it came before that, it is the first.
    pub(super) fn fail(
        &mut self,
        stream: &Stream<'_>,
        failed: Refused,
        class: Class,
        now: BootTime,
    ) {
        if self.lanes.is_empty() {
            return;
        }
        let path = Path::new(stream.route, stream.lane);
        let Some(lane) = self.lanes.get_mut(&(path, stream.producer)) else {
            return;
        };
        if lane.state.is_over(now) {
            return;
        }
        if !lane.state.is_open(now) {
            if class.is_untried() && failed.arrival < lane.first.arrival {
                lane.first = failed;
            }
        } else if lane.first.is(failed.id, || failed.known_by) {
            let (lost, until) = (Lost::Failed, now.after(PATIENCE));
            lane.state = State::Empty { lost, until };
        }
    }

    /// A lane holds nothing any more; it stays shut for now.
    pub(super) fn handle_emptied(&mut self, path: Path, now: BootTime) {
        if self.lanes.is_empty() {
            return;
        }
        let last = (path.clone(), Producer(u64::MAX));
        let lanes = self.lanes.range_mut((path, Producer(0))..=last);
        for (_, lane) in lanes.filter(|(_, lane)| matches!(lane.state, State::Full)) {
            let (lost, until) = (Lost::NoRoom, now.after(PATIENCE));
            lane.state = State::Empty { lost, until };
        }
    }

    /// An effect arrives that may have `failed_at` a place before; why it is
    /// refused, if it is.
    pub(super) fn arrive(
        &mut self,
        effect: &SideEffect,
        producer: Producer,
        failed_at: Option<u64>,
        now: BootTime,
    ) -> Option<Failure> {
        if self.lanes.is_empty() {
            return None;
        }
        self.sweep(now);
        let at = (Path::of(effect), producer);
        let lane = self.lanes.get_mut(&at)?;
        if lane.state.is_over(now) {
            self.lanes.remove(&at);
            return None;
        }
        let State::Empty { lost, .. } = lane.state else {
            return None;
        };
        let first = lane.first;
        if first.is(effect.id, || known_by(effect)) {
            let until = now.after(PATIENCE);
            lane.state = State::Again { until };
            return None;
        }
        let goes_before = failed_at.is_some_and(|failed_at| failed_at < first.arrival);
        (!goes_before).then(|| lost.behind(first.id))
    }

    /// An effect comes again that is let through whatever stands in its way, is
    /// published, or waits for the outcome of another.
    pub(super) fn pass(&mut self, effect: &SideEffect, producer: Producer, now: BootTime) {
        if self.lanes.is_empty() {
            return;
        }
        let lane = self.lanes.get_mut(&(Path::of(effect), producer));
        let lane = lane.filter(|lane| !lane.state.is_open(now));
        if let Some(lane) = lane
            && lane.first.is(effect.id, || known_by(effect))
        {
            let until = now.after(PATIENCE);
            lane.state = State::Again { until };
        }
    }

    /// A connection is closed; its daemon will begin anew.
    pub(super) fn close(&mut self, producer: Producer) {
        self.lanes.retain(|(_, whose), _| *whose != producer);
    }

    fn sweep(&mut self, now: BootTime) {
        if now.since(self.swept_at) >= PATIENCE {
            self.swept_at = now;
            self.lanes.retain(|_, lane| !lane.state.is_over(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plain;
    use super::*;

    const A: Producer = Producer(1);

    fn shut_out(shut: &mut Shut, lane: usize, now: BootTime) {
        let effect = plain(&lane.to_string(), 1);
        let refused = Refused {
            id: effect.id,
            known_by: known_by(&effect),
            arrival: 1,
        };
        let stream = Stream {
            lane: &effect.lane,
            route: None,
            producer: A,
        };
        shut.refuse(&stream, refused, now);
        shut.handle_emptied(Path::of(&effect), now);
    }

    #[test]
    fn no_more_lanes_are_shut_than_the_bound_and_what_is_over_makes_room() {
        let mut shut = Shut::default();
        let now = BootTime::default();
        for n in 0..LANES_MAX + 100 {
            shut_out(&mut shut, n, now);
        }
        assert_eq!(shut.lanes.len(), LANES_MAX);
        let mut arrive = |n: usize, now| shut.arrive(&plain(&n.to_string(), 2), A, None, now);
        assert!(arrive(0, now).is_some());
        assert!(arrive(LANES_MAX, now).is_none());
        assert!(arrive(0, now.after(PATIENCE)).is_none());
        assert!(shut.lanes.is_empty());
    }

    #[test]
    fn nothing_is_kept_for_a_connection_that_is_closed() {
        let mut shut = Shut::default();
        let now = BootTime::default();
        shut_out(&mut shut, 1, now);
        let effect = plain("2", 1);
        let stream = Stream {
            lane: &effect.lane,
            route: None,
            producer: A,
        };
        let refused = Refused {
            id: effect.id,
            known_by: known_by(&effect),
            arrival: 1,
        };
        shut.refuse(&stream, refused, now);
        shut.close(Producer(2));
        assert_eq!(shut.lanes.len(), 2);
        shut.close(A);
        assert!(shut.lanes.is_empty());
    }
}
