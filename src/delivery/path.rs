//! Where an effect goes.

use crate::protocol::envelope::SideEffect;
use crate::protocol::id::LaneKey;

/// A lane of a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path {
    /// Nothing, if it is the chain's own.
    pub route: Option<Box<str>>,
    pub lane: LaneKey,
}

impl Path {
    pub(super) fn new(route: Option<&str>, lane: &LaneKey) -> Self {
        Self {
            route: route.map(Into::into),
            lane: lane.clone(),
        }
    }

    /// The one before all others.
    pub(super) fn first() -> Self {
        Self::new(None, &LaneKey::new(""))
    }

    /// Where `effect` goes.
    pub(super) fn of(effect: &SideEffect) -> Self {
        Self::new(effect.route.as_deref(), &effect.lane)
    }
}
