//! The ways effects leave by: one for each route.
//!
//! Every route has lanes and a connection of its own, so that the outage of one
//! delays no other. The first is the chain's own transport; the others are
//! named, and an effect that names none of them is refused, never sent another
//! way. With an outbox each route has two ways, the direct one and that of
//! kept effects, which differ in what a failure costs; the direct ones then are
//! dialed only when something has to go around a broken disk.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use futures_util::future::select_all;
use tokio::sync::watch;
use uuid::Uuid;

use super::super::Config;
use super::super::memo::Memo;
use super::keeper::Waiter;
use super::link::{Link, Noting};
use crate::clock::BootTime;
use crate::delivery::{self, Lanes, Passed, Place, Producer, Recall, Settled, Submitted};
use crate::net::ipc;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WayId(usize);

/// The chain's own transport.
pub(super) const OWN: usize = 0;

/// What it is called where routes are told; no other can have that name.
const OWN_NAME: &str = "(own)";

/// One way.
#[derive(Debug)]
pub(super) struct Way {
    pub lanes: Lanes<Waiter>,
    pub link: Link,
    /// Makes up again what was on its way when an earlier life ended, or was given
    /// up.
    recall: Recall<Waiter>,
    number: usize,
    is_spare: bool,
}

/// As the runtime has it, which may stand still in a test.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Way {
    fn new(socket: &Path, config: &delivery::Config) -> Self {
        Self {
            lanes: Lanes::new(config.clone()),
            link: Link::new(socket.to_owned()),
            recall: Recall::new([], now()),
            number: 0,
            is_spare: false,
        }
    }

    /// Writes every request that may go out.
    pub(super) fn send(&mut self, memo: Option<&mut Memo>, now: BootTime) {
        let noting = Noting::new(memo, self.number, now);
        self.link.send(&mut self.lanes, noting);
    }

    pub(super) fn handle(&mut self, event: ipc::Event, memo: Option<&mut Memo>) {
        let noting = Noting::new(memo, self.number, BootTime::now());
        self.link.handle(event, &mut self.lanes, noting);
    }

    /// Takes an effect that is kept on disk.
    pub(super) fn deliver(&mut self, effect: SideEffect, order: u64) {
        let place = Place::new(order + 1, Producer(0));
        self.submit(Submitted::new(effect, place, None, now()));
    }

    /// Takes an effect to its lane, together with those it was in a batch with.
    pub(super) fn submit(&mut self, submitted: Submitted<Waiter>) {
        if self.recall.is_idle() {
            self.lanes.handle_submit(submitted);
            return;
        }
        self.recall.handle(submitted, now());
        self.pass_on();
    }

    /// The next effect that has its outcome.
    pub(super) fn poll_settled(&mut self) -> Option<Settled<Waiter>> {
        let settled = self.lanes.poll_settled()?;
        if self.recall.holds(&settled.lane) {
            self.settle_held(&settled);
        }
        Some(settled)
    }

    /// What is held back of a lane shares what becomes of what stands before it.
    fn settle_held(&mut self, settled: &Settled<Waiter>) {
        let Some(failure) = self.lanes.fate_behind(settled) else {
            return;
        };
        let held = if settled.parks {
            self.recall.give_back(&settled.lane)
        } else {
            self.recall.give_back_behind(&settled.lane, settled.place)
        };
        self.lanes.handle_failed(held, &failure);
    }

    /// These were published together; what is held back of their lane to go out so
    /// once more is settled. Returns whether something was.
    pub(super) fn handle_published(&mut self, lane: &LaneKey, effects: &[EffectId]) -> bool {
        let held = self.recall.handle_published(lane, effects);
        let is_held = !held.is_empty();
        self.lanes.handle_published(held);
        is_held
    }

    /// Whether it takes more effects.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.has_room_beside(self.recall.amount())
    }

    /// Whether an effect of this lane has no outcome yet.
    pub(super) fn holds(&self, lane: &LaneKey) -> bool {
        self.lanes.holds(lane) || self.recall.holds(lane)
    }

    /// Whether it is dialed only while it is needed.
    pub(super) fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Whoever keeps the effect `id` of this lane wants it back, and all that come
    /// behind it.
    ///
    /// Returns them in order; none if it is not here or on its way right now.
    pub(super) fn withdraw(&mut self, lane: &LaneKey, id: EffectId) -> Vec<SideEffect> {
        let mut taken = self.lanes.handle_withdrawn(lane, id);
        // What is held back came behind all that its lane holds.
        let held = if taken.is_empty() {
            self.recall.handle_withdrawn(lane, id)
        } else {
            self.recall.give_back(lane)
        };
        taken.extend(held.into_iter().map(|submitted| submitted.effect));
        taken
    }

    fn pass_on(&mut self) {
        while let Some(passed) = self.recall.poll_passed() {
            match passed {
                Passed::One(submitted) => self.lanes.handle_submit(submitted),
                Passed::Batch(effects) => self.lanes.handle_batch(effects),
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.recall.handle_timeout(now);
        self.pass_on();
        self.lanes.handle_timeout(now);
    }

    /// Nothing more is sent; what is not on its way fails now.
    pub(super) fn handle_shutdown(&mut self) {
        self.recall.handle_shutdown();
        self.pass_on();
        self.lanes.handle_shutdown();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let recall = self.recall.poll_timeout();
        self.lanes.poll_timeout().into_iter().chain(recall).min()
    }

    async fn event(&mut self) -> ipc::Event {
        let is_wanted = !self.lanes.is_empty();
        if self.is_spare && !is_wanted && !self.link.is_up() {
            return std::future::pending().await;
        }
        self.link.event(is_wanted).await
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Ways {
    all: Vec<Way>,
    /// Of all but the first.
    names: Vec<Box<str>>,
    /// Who is looked at first when several have something to say.
    turn: usize,
}

impl Ways {
    /// The ways of `config`; those of a kind share what may be held over all
    /// lanes. What was sent before is made up again on each of them.
    pub(super) fn new(config: &Config, sent_before: &[Vec<Uuid>]) -> Self {
        let own = config.transport_socket.clone();
        let others = config.routes.iter().map(|route| route.socket.clone());
        let sockets: Vec<_> = std::iter::once(own).chain(others).collect();
        let direct = shared(&config.delivery, sockets.len());
        let mut all: Vec<_> = sockets.iter().map(|s| Way::new(s, &direct)).collect();
        if config.outbox.is_some() {
            let timeout = config.delivery.attempt_timeout;
            let kept = delivery::Config {
                on_rejected: config.delivery.on_rejected,
                ..delivery::Config::for_outbox(timeout)
            };
            let kept = shared(&kept, sockets.len());
            let records = config.outbox.as_ref().is_some_and(|outbox| outbox.records);
            all.extend(sockets.iter().map(|s| Way::new(s, &kept)));
            for (at, way) in all.iter_mut().enumerate() {
                let is_direct = at < sockets.len();
                way.is_spare = is_direct == records;
            }
        }
        let now = now();
        for (number, way) in all.iter_mut().enumerate() {
            way.number = number;
            way.recall = Recall::new(sent_before.iter().cloned(), now);
        }
        Self {
            all,
            names: config.routes.iter().map(|r| r.name.clone()).collect(),
            turn: 0,
        }
    }

    /// The number of the route called so; without a name, the chain's own.
    pub(super) fn find(&self, route: Option<&str>) -> Option<usize> {
        let Some(route) = route else {
            return Some(OWN);
        };
        let at = self.names.iter().position(|name| **name == *route)?;
        Some(at + 1)
    }

    /// The numbers of all routes.
    pub(super) fn routes(&self) -> Range<usize> {
        0..self.names.len() + 1
    }

    /// Where effects of a route go that are not kept.
    pub(super) fn direct(&mut self, route: usize) -> &mut Way {
        &mut self.all[route]
    }

    /// Where those go that are.
    pub(super) fn kept(&mut self, route: usize) -> &mut Way {
        let at = self.routes().end + route;
        &mut self.all[at]
    }

    pub(super) fn way(&mut self, way: WayId) -> &mut Way {
        &mut self.all[way.0]
    }

    /// What effects call a route; nothing if it is the chain's own.
    pub(super) fn name(&self, route: usize) -> Option<&str> {
        let at = route.checked_sub(1)?;
        self.names.get(at).map(|name| &**name)
    }

    /// What the routes are called, by their numbers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let others = self.names.iter().map(|name| &**name);
        std::iter::once(OWN_NAME).chain(others)
    }

    /// Every way, and the number of its route.
    pub(super) fn by_route(&self) -> impl Iterator<Item = (usize, &Way)> {
        let routes = self.routes().end;
        let ways = self.all.iter().enumerate();
        ways.map(move |(at, way)| (at % routes, way))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Way> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Way> {
        self.all.iter_mut()
    }

    /// Tells whether there is a connection to the chain's own transport.
    pub(super) fn linked(&self) -> watch::Receiver<bool> {
        let in_use = self.all.iter().find(|way| !way.is_spare);
        in_use.unwrap_or(&self.all[OWN]).link.watch()
    }

    /// What was given up and may have been published goes out in the same company if
    /// it comes again, also by the other way of its route: what went around a disk may
    /// be kept then. To be called before anything is settled.
    pub(super) fn remember_forsaken(&mut self) {
        let routes = self.routes().end;
        remember_forsaken(&mut self.all, routes);
    }

    /// See [`Lanes::poll_published_late`].
    pub(super) fn poll_published_late(&mut self) -> Option<Vec<EffectId>> {
        let mut ways = self.all.iter_mut();
        ways.find_map(|way| way.lanes.poll_published_late())
    }

    /// Whether any route takes more effects directly.
    pub(super) fn has_room(&self) -> bool {
        let direct = &self.all[self.routes()];
        direct.iter().any(Way::has_room)
    }

    /// Whether no effect is without an outcome.
    pub(super) fn are_empty(&self) -> bool {
        self.iter().all(|way| way.lanes.is_empty())
    }

    /// When the lanes want to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.iter().filter_map(Way::poll_timeout).min()
    }

    /// Waits for the next thing to happen on any way; cancel safe.
    pub(super) async fn event(&mut self) -> (WayId, ipc::Event) {
        if let [way] = &mut self.all[..] {
            return (WayId(OWN), way.event().await);
        }
        let count = self.all.len();
        let turn = self.turn % count;
        let (before, from) = self.all.split_at_mut(turn);
        let in_turn = (turn..count).chain(0..turn);
        let ways = from.iter_mut().chain(before).zip(in_turn);
        let events = ways.map(|(way, at)| Box::pin(async move { (WayId(at), way.event().await) }));
        let (event, ..) = select_all(events).await;
        self.turn = event.0.0 + 1;
        event
    }
}

/// See [`Ways::remember_forsaken`].
fn remember_forsaken(ways: &mut [Way], routes: usize) {
    for at in 0..ways.len() {
        while let Some(list) = ways[at].lanes.poll_forsaken() {
            for way in ways.iter_mut().skip(at % routes).step_by(routes) {
                way.recall.remember(list.clone(), now());
            }
        }
    }
}

/// One of so many shares of what may be held.
fn shared(config: &delivery::Config, shares: usize) -> delivery::Config {
    delivery::Config {
        effects_max: config.effects_max / shares,
        bytes_max: config.bytes_max / shares,
        ..config.clone()
    }
}

#[cfg(test)]
mod tests;
