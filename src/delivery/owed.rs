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
//! What stands still has bounds of its own, for each connection and each route.
//! Beyond them effects of lanes in trouble are refused, and no others. What
//! keeps everything back is nobody's own trouble: then nothing is refused, and
//! the connections wait.
//!
//! Counts every submission from its arrival to its answer, those that wait for
//! the outcome of another included. Never refuses, sends, or reads a clock.

use std::collections::{BTreeSet, HashMap};
use std::ops::{AddAssign, SubAssign};

use slab::Slab;

use super::effect::Producer;
use crate::protocol::id::LaneKey;

/// What a connection may be owed that stands still, before more of it is refused:
/// four lanes.
const STILL_MAX: Amount = Amount {
    effects: 16_384,
    bytes: 64 * 1024 * 1024,
};

/// So many effects, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub effects: usize,
    pub bytes: usize,
}

impl Amount {
    /// One effect.
    pub(crate) fn one(bytes: usize) -> Self {
        Self { effects: 1, bytes }
    }

    /// Whether it is less than `max` of both.
    pub(crate) fn is_below(self, max: Self) -> bool {
        self.effects < max.effects && self.bytes < max.bytes
    }

    /// Whether it is more than `max`. A single effect never is.
    fn is_over(self, max: Self) -> bool {
        self.effects > 1 && (self.effects > max.effects || self.bytes > max.bytes)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.effects += other.effects;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.effects -= other.effects;
        self.bytes -= other.bytes;
    }
}

/// An answer that is owed; whoever gives it says so by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Debt(usize);

/// One lane of a route, for as long as something of it is owed.
#[derive(Debug)]
struct Account {
    route: usize,
    lane: LaneKey,
    is_still: bool,
    /// Mostly one.
    owed: Vec<(Producer, Amount)>,
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
        let owed = &mut self.accounts[at].owed;
        let one = Amount::one(bytes);
        match owed.iter_mut().find(|(whose, _)| *whose == producer) {
            Some((_, load)) => *load += one,
            None => owed.push((producer, one)),
        }
        if self.stands(at) {
            self.stop(route, producer, one);
        }
        Debt(at)
    }

    fn open(&mut self, route: usize, lane: &LaneKey) -> usize {
        let at = self.accounts.insert(Account {
            route,
            lane: lane.clone(),
            is_still: false,
            owed: Vec::with_capacity(1),
        });
        self.routes[route].by_lane.insert(lane.clone(), at);
        at
    }

    /// It was answered.
    pub(crate) fn give_back(&mut self, debt: Debt, producer: Producer, bytes: usize) {
        let (at, one) = (debt.0, Amount::one(bytes));
        if self.stands(at) {
            self.go_on(self.accounts[at].route, producer, one);
        }
        let account = &mut self.accounts[at];
        let mut owed = account.owed.iter();
        let Some(place) = owed.position(|(whose, _)| *whose == producer) else {
            return;
        };
        account.owed[place].1 -= one;
        if account.owed[place].1.effects == 0 {
            account.owed.swap_remove(place);
        }
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
        if self.stands(at) != before {
            self.shift(at, is_still);
        }
    }

    /// Nothing comes back from a route's transport, or something did.
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
            if !self.accounts[at].is_still {
                self.shift(at, is_quiet);
            }
        }
    }

    /// Whether an effect that has come for this route is one too many, because so
    /// much of what came before stands still; `is_ill` says whether its lane is
    /// in trouble.
    pub(crate) fn is_full(
        &self,
        producer: Producer,
        route: usize,
        is_ill: impl FnOnce() -> bool,
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
        if *is_quiet {
            self.routes.iter().any(|other| !other.is_quiet)
        } else {
            is_ill()
        }
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

    /// All that is owed of a lane stands still, or goes on.
    fn shift(&mut self, at: usize, is_still: bool) {
        let route = self.accounts[at].route;
        for (producer, load) in self.accounts[at].owed.clone() {
            if is_still {
                self.stop(route, producer, load);
            } else {
                self.go_on(route, producer, load);
            }
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
