//! Lanes that hold nothing, and of which an effect found no room.
//!
//! A lane that holds effects and is full takes no other before it is empty. One
//! that holds none has nothing to wait for: what comes next for it may find the
//! room that was missing a moment before, and would overtake what was refused.
//! A daemon that does not wait for its answers has the next ones on their way by
//! then. So they are refused, too: for two seconds, or until the refused one
//! comes again, under its id or its key, or another that failed before it.
//!
//! ```text
//!        no room                it comes again; 2 s
//! open ──────────▶ shut to all behind it ──────────▶ open
//!                   ▲ │
//!                   └─┴── no room, again
//! ```
//!
//! A lane is shut to the connection that was refused, and to no other. That is
//! all that can be done for daemons that say nothing of their order; a flag or
//! sequence numbers keep it for longer ([`Fences`], [`Gaps`]).
//!
//! Holds 16 384 lanes at most, about 4 MiB; beyond, no more are shut.
//!
//! [`Fences`]: crate::delivery::fences::Fences
//! [`Gaps`]: crate::delivery::gaps::Gaps

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::BootTime;
use crate::delivery::dedupe::known_by;
use crate::delivery::effect::Producer;
use crate::delivery::failure::Failure;
use crate::delivery::parks::Path;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

/// How long the effects behind a refused one may be on their way; who never sends
/// that again has lost no more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lanes that may be shut at once.
const LANES_MAX: usize = 16_384;

/// Why a lane is shut.
#[derive(Debug)]
struct Refused {
    id: EffectId,
    /// What makes a copy of it recognisable.
    known_by: Uuid,
    /// Its place.
    arrival: u64,
    why: Failure,
    until: BootTime,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shut {
    lanes: HashMap<(Producer, Path), Refused>,
    swept_at: BootTime,
}

impl Shut {
    /// An effect of a lane that holds none found no room.
    pub(super) fn refuse(
        &mut self,
        effect: &SideEffect,
        (producer, arrival): (Producer, u64),
        why: Failure,
        now: BootTime,
    ) {
        let lane = (producer, path(effect));
        if self.lanes.len() >= LANES_MAX && !self.lanes.contains_key(&lane) {
            return;
        }
        let refused = Refused {
            id: effect.id,
            known_by: known_by(effect),
            arrival,
            why,
            until: now.after(PATIENCE),
        };
        self.lanes.insert(lane, refused);
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
        let lane = (producer, path(effect));
        let refused = self.lanes.get(&lane)?;
        let is_again = refused.id == effect.id || refused.known_by == known_by(effect);
        let was_before = failed_at.is_some_and(|failed_at| failed_at <= refused.arrival);
        if is_again || was_before || refused.until <= now {
            self.lanes.remove(&lane);
            return None;
        }
        Some(refused.why.clone())
    }

    fn sweep(&mut self, now: BootTime) {
        if now.since(self.swept_at) >= PATIENCE {
            self.swept_at = now;
            self.lanes.retain(|_, refused| now < refused.until);
        }
    }
}

fn path(effect: &SideEffect) -> Path {
    (effect.route.clone(), effect.lane.clone())
}

#[cfg(test)]
mod tests {
    use super::super::tests::plain;
    use super::*;

    const A: Producer = Producer(1);

    #[test]
    fn no_more_lanes_are_shut_than_the_bound_and_what_is_over_makes_room() {
        let mut shut = Shut::default();
        let why = Failure::new(crate::delivery::Class::LaneFull, "full");
        let now = BootTime::default();
        for n in 0..LANES_MAX + 100 {
            let effect = plain(&n.to_string(), 1);
            shut.refuse(&effect, (A, 1), why.clone(), now);
        }
        assert_eq!(shut.lanes.len(), LANES_MAX);
        let mut arrive = |n: usize, now| shut.arrive(&plain(&n.to_string(), 2), A, None, now);
        assert!(arrive(0, now).is_some());
        assert!(arrive(LANES_MAX, now).is_none());
        assert!(arrive(0, now.after(PATIENCE)).is_none());
        assert!(shut.lanes.is_empty());
    }
}
