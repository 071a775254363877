//! What became of a lane's last request, as far as it tells the lane from others.
//!
//! A lane that is not well is tried again beside the others, never before them;
//! of what it meets again and again the transport is accused once. What keeps
//! all lanes back ends for all of them at once, but only for those it kept back:
//! what Ably itself refused waits as long as it was told to.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::failure::Refusal;
use crate::protocol::id::LaneKey;
use crate::protocol::ipc::TIMED_OUT;

/// How a lane fared last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing is known against it.
    Well,
    /// Ably could not take it, and said so.
    Refused,
    /// The transport had no connection to Ably.
    Offline,
    /// There was no answer, of the transport's or of Ably's, or none that says
    /// what happened.
    Silent,
}

impl Health {
    /// Of a lane whose request was refused, but not for what it is.
    pub(super) fn after(refusal: &Refusal<'_>) -> Self {
        match refusal.code() {
            Some(code) if code / 1000 == 80 => Self::Offline,
            None | Some(TIMED_OUT) => Self::Silent,
            Some(_) => Self::Refused,
        }
    }

    pub(super) fn is_well(self) -> bool {
        self == Self::Well
    }

    /// Whether it may be well again now that this is over.
    pub(super) fn may_end_with(self, over: Shared) -> bool {
        match self {
            Self::Well | Self::Refused => false,
            Self::Offline => over != Shared::Nothing,
            Self::Silent => over == Shared::Transport,
        }
    }
}

/// What keeps lanes back that have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    Nothing,
    /// The transport has no connection to Ably.
    Upstream,
    /// The transport does not answer, or is not there.
    Transport,
}

/// Which lanes were silent when they became empty, so that one which is given up
/// and begins anew is not taken for one of which nothing is known.
///
/// A lane is known by a hash. The oldest are forgotten first; either mistake
/// costs a turn.
#[derive(Debug, Default)]
pub(super) struct Silences {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

/// As many are remembered, and up to twice as many.
const REMEMBERED: usize = 4096;

impl Silences {
    /// How a lane begins.
    pub(super) fn health_of(&self, lane: &LaneKey) -> Health {
        if self.is_empty() {
            return Health::Well;
        }
        let lane = digest(lane);
        if self.young.contains(&lane) || self.old.contains(&lane) {
            Health::Silent
        } else {
            Health::Well
        }
    }

    /// A lane ends like this.
    pub(super) fn note(&mut self, lane: &LaneKey, health: Health) {
        let is_silent = health == Health::Silent;
        if !is_silent && self.is_empty() {
            return;
        }
        let lane = digest(lane);
        self.old.remove(&lane);
        if !is_silent {
            self.young.remove(&lane);
        } else if self.young.insert(lane) && self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
    }

    fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }
}

fn digest(lane: &LaneKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    lane.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(n: usize) -> LaneKey {
        LaneKey::new(n.to_string())
    }

    #[test]
    fn a_silent_lane_is_remembered_until_it_ends_well() {
        let mut silences = Silences::default();
        silences.note(&lane(1), Health::Silent);
        assert_eq!(silences.health_of(&lane(1)), Health::Silent);
        assert_eq!(silences.health_of(&lane(2)), Health::Well);
        silences.note(&lane(1), Health::Well);
        assert_eq!(silences.health_of(&lane(1)), Health::Well);
        assert!(silences.is_empty());
    }

    #[test]
    fn of_silent_lanes_without_end_the_last_are_remembered_and_the_first_forgotten() {
        let mut silences = Silences::default();
        for n in 0..4 * REMEMBERED {
            silences.note(&lane(n), Health::Silent);
        }
        assert!(silences.young.len() + silences.old.len() <= 2 * REMEMBERED);
        assert_eq!(silences.health_of(&lane(0)), Health::Well);
        let last = 3 * REMEMBERED..4 * REMEMBERED;
        assert!(last.map(lane).all(|n| !silences.health_of(&n).is_well()));
    }

    #[test]
    fn only_what_was_kept_back_goes_on_when_it_is_over() {
        let refused = |code| {
            Health::after(&Refusal {
                error: "",
                code,
                retryable: Some(true),
            })
        };
        assert_eq!(refused(Some(50_000)), Health::Refused);
        assert_eq!(refused(Some(TIMED_OUT)), Health::Silent);
        assert_eq!(refused(Some(80_003)), Health::Offline);
        assert_eq!(refused(None), Health::Silent);
        let ends = |over| {
            let all = [
                Health::Well,
                Health::Refused,
                Health::Offline,
                Health::Silent,
            ];
            all.map(|health| health.may_end_with(over))
        };
        assert_eq!(ends(Shared::Nothing), [false; 4]);
        assert_eq!(ends(Shared::Upstream), [false, false, true, false]);
        assert_eq!(ends(Shared::Transport), [false, false, true, true]);
    }
}
