//! What is held for lanes that may stand still.
//!
//! Whether a lane that is slow stands still shows only by others, and if all that
//! is read were its own, no other would be sent. So what has come for it until
//! then, and comes while it is slow, is not counted either, up to a bound for each
//! lane of a connection, and to half of what may stand still of its route; and until
//! it is answered, as what stood still with its route. Its lane holds it.

use super::{Amount, Owed};
use crate::delivery::effect::Producer;
use crate::protocol::id::LaneKey;

/// What is not counted of a lane that is slow, for one connection. With what may
/// be counted, and that is all of one lane if it comes to that, it has to fit in a
/// lane: what may go on is not refused.
pub(super) const SLOW_MAX: Amount = Amount {
    effects: 8192,
    bytes: 32 * 1024 * 1024,
};

impl Owed {
    /// A lane is slow, so that it may stand still, or is not any more.
    pub(crate) fn handle_slow(&mut self, route: usize, lane: &LaneKey, is_slow: bool) {
        let Some(&at) = self.routes[route].by_lane.get(lane) else {
            return;
        };
        self.accounts[at].is_slow = is_slow;
        if is_slow && !self.stands(at) {
            let whose = self.accounts[at].owed.iter().map(|load| load.whose);
            for producer in whose.collect::<Vec<_>>() {
                self.excuse_slow(at, producer);
            }
        }
    }

    /// What a connection is owed of a lane that is slow does not count, if it is not
    /// too much.
    pub(super) fn excuse_slow(&mut self, at: usize, producer: Producer) {
        let account = &mut self.accounts[at];
        let route = account.route;
        let mut loads = account.owed.iter_mut();
        let Some(load) = loads.find(|load| load.whose == producer) else {
            return;
        };
        let mut more = load.owed;
        more -= load.excused;
        let mut of_route = self.routes[route].still;
        of_route += more;
        // What stands still for sure has as much.
        let half = Amount {
            effects: self.route_max.effects / 2,
            bytes: self.route_max.bytes / 2,
        };
        if load.owed.fits(SLOW_MAX) && of_route.fits(half) {
            load.excused = load.owed;
            self.stop(route, producer, more);
        }
    }
}
