//! The ways effects leave by: one for each route.
//!
//! Every route has lanes and a connection of its own, so that the outage of one
//! delays no other. The first is the chain's own transport; the others are
//! named, and an effect that names none of them is refused, never sent another
//! way.

use std::time::Instant;

use futures_util::future::select_all;
use tokio::sync::watch;

use super::super::Config;
use super::link::Link;
use crate::delivery::{self, Lanes, Ticket};
use crate::net::ipc;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WayId(usize);

/// The chain's own transport.
pub(super) const OWN: WayId = WayId(0);

/// One way.
#[derive(Debug)]
pub(super) struct Way {
    pub lanes: Lanes<Ticket>,
    pub link: Link,
}

impl Way {
    /// Writes every request that may go out.
    pub(super) fn send(&mut self) {
        self.link.send(&mut self.lanes);
    }

    pub(super) fn handle(&mut self, event: ipc::Event) {
        self.link.handle(event, &mut self.lanes);
    }

    async fn event(&mut self) -> ipc::Event {
        let is_wanted = !self.lanes.is_empty();
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
    /// The ways of `config`; they share what may be held over all lanes.
    pub(super) fn new(config: &Config) -> Self {
        let shares = config.routes.len() + 1;
        let delivery = delivery::Config {
            effects_max: config.delivery.effects_max / shares,
            bytes_max: config.delivery.bytes_max / shares,
            ..config.delivery.clone()
        };
        let way = |socket| Way {
            lanes: Lanes::new(delivery.clone()),
            link: Link::new(socket),
        };
        let own = way(config.transport_socket.clone());
        let others = config.routes.iter().map(|route| way(route.socket.clone()));
        Self {
            all: std::iter::once(own).chain(others).collect(),
            names: config.routes.iter().map(|r| r.name.clone()).collect(),
            turn: 0,
        }
    }

    /// The way of the route called so; without a name, the chain's own.
    pub(super) fn find(&self, route: Option<&str>) -> Option<WayId> {
        let Some(route) = route else {
            return Some(OWN);
        };
        let at = self.names.iter().position(|name| **name == *route)?;
        Some(WayId(at + 1))
    }

    pub(super) fn way(&mut self, way: WayId) -> &mut Way {
        &mut self.all[way.0]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Way> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Way> {
        self.all.iter_mut()
    }

    /// Tells whether there is a connection to the chain's own transport.
    pub(super) fn linked(&self) -> watch::Receiver<bool> {
        self.all[0].link.watch()
    }

    /// Whether any way takes more effects.
    pub(super) fn has_room(&self) -> bool {
        self.iter().any(|way| way.lanes.has_room())
    }

    /// Whether no effect is without an outcome.
    pub(super) fn are_empty(&self) -> bool {
        self.iter().all(|way| way.lanes.is_empty())
    }

    /// When the lanes want to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.iter().filter_map(|way| way.lanes.poll_timeout()).min()
    }

    /// Waits for the next thing to happen on any way; cancel safe.
    pub(super) async fn event(&mut self) -> (WayId, ipc::Event) {
        if let [way] = &mut self.all[..] {
            return (OWN, way.event().await);
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
