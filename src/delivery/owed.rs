//! What daemons are owed an answer for, and how much of it stands still.
//!
//! All that a daemon sends comes over one connection, which is not read while
//! too much of it is unanswered. That a session waits for its own effects is as
//! it should be; that it waits for those of a lane, or of a route, that nobody
//! answers is not. So what stands still is told to the connection, which does
//! not count it.
//!
//! ```text
//!            submitted            its lane, or its route, stands still
//! nothing ─────────────▶ going ──────────────────────────────────────▶ still
//!    ▲                     │  ◀──────────────────────────────────────── │
//!    │                     │        something of it was answered        │
//!    └───── answered ──────┴────────────────────────────────────────────┘
//! ```
//!
//! What stood still with its whole route stays uncounted when that goes on,
//! until it is answered; what comes then counts. So does some of what came for a
//! lane that may stand still, as far as one knows ([`slow`]).
//!
//! What stands still has bounds of its own, for each connection and each route.
//! Beyond them effects of lanes in trouble are refused, or of a route that is
//! down, and no others. A lane whose first attempt is not over is in no trouble yet,
//! though others may have shown that it stands still: for those a connection has
//! another bound, and what they hold beyond it is refused as well. What keeps
//! everything back is nobody's own trouble: then nothing is refused, and the
//! connections wait.
//!
//! Counts every submission from its arrival to its answer, those that wait for
//! the outcome of another included. Never refuses, sends, or reads a clock.

mod amount;
mod slow;

use std::collections::BTreeSet;

use hashbrown::HashMap;
use slab::Slab;

use super::effect::Producer;
use crate::protocol::id::LaneKey;
pub(crate) use amount::Amount;

/// What a connection may be owed that stands still, before more of it is refused:
/// four lanes.
const STILL_MAX: Amount = Amount {
    effects: 16_384,
    bytes: 64 * 1024 * 1024,
};

/// The same as long as only others tell that their lanes stand still, which then
/// might be slow: six lanes. With what may go on it has to be less than what a
/// connection may be owed in all, or nothing else of it were read.
const ALONE_MAX: Amount = Amount {
    effects: 24_576,
    bytes: 96 * 1024 * 1024,
};

/// What of that the lanes of one of several routes may be owed in any case, whatever
/// the others hold up: as much as a single lane that stands still.
const OF_ROUTE_MIN: Amount = Amount {
    effects: 4096,
    bytes: 16 * 1024 * 1024,
};

/// An answer that is owed; whoever gives it says so by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Debt(usize);

/// One lane of a route, for as long as something of it is owed.
#[derive(Debug)]
struct Account {
    route: usize,
    lane: LaneKey,
    is_still: bool,
    is_slow: bool,
    /// Mostly one.
    owed: Vec<Load>,
}

/// What one connection is owed of an account.
#[derive(Debug)]
struct Load {
    whose: Producer,
    owed: Amount,
    /// How much of that, the oldest, is not counted though it goes on: its route
    /// stood still, or its lane was slow.
    excused: Amount,
}

impl Load {
    fn new(whose: Producer) -> Self {
        let (owed, excused) = Default::default();
        Self {
            whose,
            owed,
            excused,
        }
    }

    /// One effect of so many bytes was answered; returns what of it was excused.
    fn settle(&mut self, bytes: usize) -> Amount {
        self.owed -= Amount::one(bytes);
        let excused = match self.excused.effects {
            0 => Amount::default(),
            // Answers do not come quite in order.
            1 => self.excused,
            _ => Amount::one(bytes.min(self.excused.bytes)),
        };
        self.excused -= excused;
        excused
    }
}

#[derive(Debug, Default)]
struct Route {
    by_lane: HashMap<LaneKey, usize>,
    /// Nothing comes back from its transport.
    is_quiet: bool,
    still: Amount,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Owed {
    routes: Vec<Route>,
    /// What may stand still of a route before more of it is refused.
    route_max: Amount,
    accounts: Slab<Account>,
    still: HashMap<Producer, Amount>,
    changed: BTreeSet<Producer>,
}

impl Owed {
    /// Nothing is owed for any of so many routes, of each of which half of `max`
    /// may stand still.
    pub(crate) fn new(routes: usize, max: Amount) -> Self {
        Self {
            routes: std::iter::repeat_with(Route::default)
                .take(routes)
                .collect(),
            route_max: Amount {
                effects: max.effects / 2,
                bytes: max.bytes / 2,
            },
            accounts: Slab::new(),
            still: HashMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// An effect has come for this lane, and is owed an answer.
    pub(crate) fn take(
        &mut self,
        producer: Producer,
        route: usize,
        lane: &LaneKey,
        bytes: usize,
    ) -> Debt {
        let at = match self.routes[route].by_lane.get(lane) {
            Some(&at) => at,
            None => self.open(route, lane),
        };
        let loads = &mut self.accounts[at].owed;
        let one = Amount::one(bytes);
        match loads.iter_mut().find(|load| load.whose == producer) {
            Some(load) => load.owed += one,
            None => loads.push(Load {
                owed: one,
                ..Load::new(producer)
            }),
        }
        if self.stands(at) {
            self.stop(route, producer, one);
        } else if self.accounts[at].is_slow {
            self.excuse_slow(at, producer);
        }
        Debt(at)
    }

    fn open(&mut self, route: usize, lane: &LaneKey) -> usize {
        let at = self.accounts.insert(Account {
            route,
            lane: lane.clone(),
            is_still: false,
            is_slow: false,
            owed: Vec::with_capacity(1),
        });
        self.routes[route].by_lane.insert(lane.clone(), at);
        at
    }

    /// It was answered.
    pub(crate) fn give_back(&mut self, debt: Debt, producer: Producer, bytes: usize) {
        let at = debt.0;
        let (stands, route) = (self.stands(at), self.accounts[at].route);
        let account = &mut self.accounts[at];
        let mut loads = account.owed.iter();
        let Some(place) = loads.position(|load| load.whose == producer) else {
            return;
        };
        let excused = account.owed[place].settle(bytes);
        let was_last = account.owed[place].owed.effects == 0;
        if was_last {
            account.owed.swap_remove(place);
        }
        let gone = if stands { Amount::one(bytes) } else { excused };
        if 0 < gone.effects {
            self.go_on(route, producer, gone);
        }
        let account = &self.accounts[at];
        if account.owed.is_empty() {
            let account = self.accounts.remove(at);
            self.routes[account.route].by_lane.remove(&account.lane);
        }
    }

    /// A lane stands still, or goes on.
    pub(crate) fn handle_lane(&mut self, route: usize, lane: &LaneKey, is_still: bool) {
        let Some(&at) = self.routes[route].by_lane.get(lane) else {
            return;
        };
        let before = self.stands(at);
        self.accounts[at].is_still = is_still;
        match (before, self.stands(at)) {
            (false, true) => self.stop_all(at),
            (true, false) => self.resume_all(at),
            _ => {}
        }
    }

    /// Nothing comes back from a route's transport, or something did. What stood
    /// still with it stays uncounted until it is answered: the route may be slow,
    /// or soon quiet again, and others would wait for all of that at once.
    pub(crate) fn handle_route(&mut self, route: usize, is_quiet: bool) {
        if self.routes[route].is_quiet == is_quiet {
            return;
        }
        self.routes[route].is_quiet = is_quiet;
        if self.routes.len() == 1 {
            return;
        }
        let lanes: Vec<usize> = self.routes[route].by_lane.values().copied().collect();
        for at in lanes {
            match (self.accounts[at].is_still, is_quiet) {
                (true, _) => {}
                (false, true) => self.stop_all(at),
                (false, false) => self.excuse_all(at),
            }
        }
    }

    /// Whether an effect that has come for this route is one too many, because so
    /// much of what came before stands still; `is_in_trouble` says whether its
    /// lane is, or its route.
    pub(crate) fn is_full(
        &self,
        producer: Producer,
        route: usize,
        is_in_trouble: impl FnOnce() -> bool,
    ) -> bool {
        let still = self.still.get(&producer).copied().unwrap_or_default();
        let Route {
            is_quiet,
            still: of_route,
            ..
        } = &self.routes[route];
        if !still.is_over(STILL_MAX) && !of_route.is_over(self.route_max) {
            return false;
        }
        let others_go_on = !is_quiet || self.routes.iter().any(|other| !other.is_quiet);
        others_go_on && is_in_trouble()
    }

    /// How much too much of a connection stands still, for a lane of this route of
    /// which only others tell that it does.
    pub(crate) fn surplus(&self, producer: Producer, route: usize) -> Option<Amount> {
        let still = *self.still.get(&producer)?;
        if !still.is_over(ALONE_MAX) {
            return None;
        }
        let surplus = still.beyond(ALONE_MAX);
        if self.routes.len() == 1 {
            return Some(surplus);
        }
        // What another holds up is not this one's to make up for with all it has.
        let of_route = self.of_still_lanes(producer, route);
        let surplus = surplus.least(of_route.beyond(OF_ROUTE_MIN));
        (surplus != Amount::default()).then_some(surplus)
    }

    /// What stands still of a connection because lanes of this route do.
    fn of_still_lanes(&self, producer: Producer, route: usize) -> Amount {
        let lanes = self.routes[route].by_lane.values();
        let lanes = lanes.map(|at| &self.accounts[*at]);
        let loads = lanes
            .filter(|lane| lane.is_still)
            .flat_map(|lane| &lane.owed);
        let mut still = Amount::default();
        for load in loads.filter(|load| load.whose == producer) {
            still += load.owed;
        }
        still
    }

    /// The connections that are owed something of a lane.
    pub(crate) fn producers(&self, route: usize, lane: &LaneKey) -> Vec<Producer> {
        let at = self.routes[route].by_lane.get(lane);
        let loads = at.into_iter().flat_map(|at| &self.accounts[*at].owed);
        loads.map(|load| load.whose).collect()
    }

    /// A connection of whose effects more stand still than it was told, or less;
    /// and how many.
    pub(crate) fn poll_change(&mut self) -> Option<(Producer, Amount)> {
        let producer = self.changed.pop_first()?;
        let still = self.still.get(&producer).copied();
        Some((producer, still.unwrap_or_default()))
    }

    /// With one route there is nothing that could go on while it stands still.
    fn stands(&self, at: usize) -> bool {
        let account = &self.accounts[at];
        account.is_still || self.routes.len() > 1 && self.routes[account.route].is_quiet
    }

    /// All that is owed of a lane stands still.
    fn stop_all(&mut self, at: usize) {
        let account = &mut self.accounts[at];
        let route = account.route;
        let uncounted = account.owed.iter_mut().map(|load| {
            let excused = std::mem::take(&mut load.excused);
            let mut more = load.owed;
            more -= excused;
            (load.whose, more)
        });
        for (whose, more) in uncounted.collect::<Vec<_>>() {
            self.stop(route, whose, more);
        }
    }

    /// It goes on, and counts.
    fn resume_all(&mut self, at: usize) {
        let account = &self.accounts[at];
        let route = account.route;
        let all = account.owed.iter().map(|load| (load.whose, load.owed));
        for (whose, load) in all.collect::<Vec<_>>() {
            self.go_on(route, whose, load);
        }
    }

    /// It goes on, and does not count.
    fn excuse_all(&mut self, at: usize) {
        for load in &mut self.accounts[at].owed {
            load.excused = load.owed;
        }
    }

    fn stop(&mut self, route: usize, producer: Producer, load: Amount) {
        self.routes[route].still += load;
        *self.still.entry(producer).or_default() += load;
        self.changed.insert(producer);
    }

    fn go_on(&mut self, route: usize, producer: Producer, load: Amount) {
        self.routes[route].still -= load;
        if let Some(still) = self.still.get_mut(&producer) {
            *still -= load;
            if still.effects == 0 {
                self.still.remove(&producer);
            }
        }
        self.changed.insert(producer);
    }
}

#[cfg(test)]
mod tests;
